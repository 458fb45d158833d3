//! Routes of HTTP functions: `orders/{id}/{page?}`, `files/{*path}`.

use std::cmp::Ordering;

/// A route's pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route(Vec<Segment>);

/// One segment of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    /// Compared ignoring case.
    Literal(String),
    Parameter(String),
    /// May be absent, at the end only.
    Optional(String),
    /// All that is left, at the end only; may be nothing.
    Rest(String),
}

/// Letters of a pattern at most.
const LONGEST: usize = 512;

/// Names and values of a route's parameters.
pub type RouteParams = Vec<(String, String)>;

impl Route {
    /// Reads a pattern. Slashes at its ends do not matter.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        if pattern.len() > LONGEST {
            return Err(format!("it is longer than {LONGEST} characters"));
        }
        let pattern = pattern.trim_matches('/');
        let mut segments: Vec<Segment> = Vec::new();
        for text in pattern.split('/').filter(|_| !pattern.is_empty()) {
            let segment = segment(text)?;
            let after_the_end = match segments.last() {
                Some(Segment::Rest(name)) => Some(name),
                Some(Segment::Optional(name)) if !matches!(segment, Segment::Optional(_)) => Some(name),
                Some(Segment::Literal(_) | Segment::Parameter(_) | Segment::Optional(_)) | None => None,
            };
            if let Some(name) = after_the_end {
                return Err(format!("'{text}' comes after '{name}', which can only be the end"));
            }
            if let Some(name) = segment.name()
                && segments.iter().any(|before| before.name() == Some(name))
            {
                return Err(format!("the parameter '{name}' comes twice"));
            }
            segments.push(segment);
        }
        Ok(Self(segments))
    }

    /// Reads what all routes begin with: words between slashes, or nothing. Returns it without slashes at its ends.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn prefix(text: &str) -> Result<String, String> {
        let Self(segments) = Self::parse(text)?;
        match segments.iter().find_map(Segment::name) {
            Some(name) => Err(format!("'{name}' is a parameter; a prefix has none")),
            None => Ok(text.trim_matches('/').to_owned()),
        }
    }

    /// The values of the parameters, if a path (split at its slashes, each part decoded) has this form.
    #[must_use]
    pub fn matches(&self, path: &[String]) -> Option<RouteParams> {
        let mut params = RouteParams::new();
        let mut left = path.iter();
        for segment in &self.0 {
            match segment {
                Segment::Literal(literal) => {
                    if !left.next()?.eq_ignore_ascii_case(literal) {
                        return None;
                    }
                }
                Segment::Parameter(name) => {
                    let value = left.next().filter(|value| !value.is_empty())?;
                    params.push((name.clone(), value.clone()));
                }
                Segment::Optional(name) => {
                    if let Some(value) = left.next() {
                        params.push((name.clone(), value.clone()));
                    }
                }
                Segment::Rest(name) => {
                    let rest: Vec<&str> = left.by_ref().map(String::as_str).collect();
                    params.push((name.clone(), rest.join("/")));
                }
            }
        }
        left.next().is_none().then_some(params)
    }

    /// True: the two answer the same paths, whatever their parameters are called.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.precedence(other) == Ordering::Equal
    }

    /// Which of two routes that match a path answers it: the lesser one.
    #[must_use]
    pub fn precedence(&self, other: &Self) -> Ordering {
        let pairs = self.0.iter().zip(&other.0);
        let unequal = pairs.map(|(one, two)| one.compare(two)).find(|ordering| *ordering != Ordering::Equal);
        // A route that ends here beats one that goes on with something optional.
        unequal.unwrap_or(self.0.len().cmp(&other.0.len()))
    }
}

impl Segment {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Parameter(name) | Self::Optional(name) | Self::Rest(name) => Some(name),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Literal(_) => 0,
            Self::Parameter(_) => 1,
            Self::Optional(_) => 2,
            Self::Rest(_) => 3,
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Literal(one), Self::Literal(two)) => one.to_ascii_lowercase().cmp(&two.to_ascii_lowercase()),
            (one, two) => one.rank().cmp(&two.rank()),
        }
    }
}

fn segment(text: &str) -> Result<Segment, String> {
    let Some(inner) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) else {
        return match text {
            "" => Err("it has two slashes in a row".to_owned()),
            "." | ".." => Err(format!("'{text}' cannot be part of a path")),
            _ if text.contains(['{', '}', '?', '#', '*']) => {
                Err(format!("'{text}' is neither a word nor a {{parameter}}"))
            }
            _ => Ok(Segment::Literal(text.to_owned())),
        };
    };
    let (name, kind): (&str, fn(String) -> Segment) = if let Some(name) = inner.strip_prefix('*') {
        (name, Segment::Rest)
    } else if let Some(name) = inner.strip_suffix('?') {
        (name, Segment::Optional)
    } else {
        (inner, Segment::Parameter)
    };
    let fits = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(fits) {
        return Err(format!(
            "'{text}' is no parameter: write {{name}}, {{name?}} or {{*name}}, with letters and digits"
        ));
    }
    Ok(kind(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('/').filter(|_| !text.is_empty()).map(str::to_owned).collect()
    }

    fn params(pattern: &str, text: &str) -> Option<Vec<String>> {
        let matched = Route::parse(pattern).unwrap().matches(&path(text))?;
        Some(matched.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
    }

    #[test]
    fn parameters_take_one_segment_optional_ones_none_and_the_rest_all() {
        assert_eq!(params("orders/{id}", "Orders/7"), Some(vec!["id=7".to_owned()]));
        assert_eq!(params("orders/{id}", "orders"), None);
        assert_eq!(params("orders/{id}", "orders/7/8"), None);
        assert_eq!(params("/orders/{id?}/", "orders"), Some(vec![]));
        assert_eq!(params("orders/{id?}/{page?}", "orders/7"), Some(vec!["id=7".to_owned()]));
        assert_eq!(params("files/{*path}", "files/a/b"), Some(vec!["path=a/b".to_owned()]));
        assert_eq!(params("files/{*path}", "files"), Some(vec!["path=".to_owned()]));
        assert_eq!(params("", ""), Some(vec![]));
    }

    #[test]
    fn a_prefix_is_words_or_nothing() {
        for (text, prefix) in [("api", "api"), ("/v1/api/", "v1/api"), ("", ""), ("/", "")] {
            assert_eq!(Route::prefix(text).as_deref(), Ok(prefix));
        }
        for bad in ["{a}", "a/{b?}", "a//b", "..", "a?b"] {
            assert!(Route::prefix(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in ["a//b", "{}", "{a b}", "{*a}/b", "{a?}/b", "{a}/{a}", "a{b}", "..", "a?b", "{a:int}"] {
            assert!(Route::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_literal_beats_a_parameter_and_a_parameter_beats_the_rest() {
        let mut routes: Vec<_> = ["{*all}", "o/{f}/{i}", "o/{f}/wait", "o/{f?}", "o/{f}"]
            .into_iter()
            .map(|pattern| (pattern, Route::parse(pattern).unwrap()))
            .collect();
        routes.sort_by(|(_, one), (_, two)| one.precedence(two));
        let order: Vec<_> = routes.iter().map(|(pattern, _)| *pattern).collect();
        assert_eq!(order, ["o/{f}", "o/{f}/wait", "o/{f}/{i}", "o/{f?}", "{*all}"]);
        let same = |one: &str, two: &str| Route::parse(one).unwrap().is_same(&Route::parse(two).unwrap());
        assert!(same("o/{a}", "O/{b}"));
        assert!(!same("o/{a}", "o/{a?}"));
    }
}
