//! Routes of HTTP functions.

/// Says what is wrong with a route. As the host does, and stricter where authors could not tell what a route matches.
pub(crate) fn check(route: &str) -> Result<(), String> {
    if route.is_empty() {
        return Err("a route is not empty; without `route` it is the function's name".to_owned());
    }
    if route.len() > 512 {
        return Err("a route has at most 512 characters".to_owned());
    }
    if route.starts_with('/') || route.ends_with('/') {
        return Err("a route neither begins nor ends with `/`: \"orders/{id}\"".to_owned());
    }
    let segments: Vec<_> = route.split('/').collect();
    let mut names: Vec<String> = vec![];
    let mut optional = false;
    for (at, segment) in segments.iter().enumerate() {
        let Some(parameter) = parameter(segment)? else {
            if optional {
                return Err(format!("`{segment}` cannot follow an optional parameter: nobody could tell them apart"));
            }
            continue;
        };
        let (name, last) = match parameter.strip_prefix('*') {
            Some(name) => (name, true),
            None => (parameter.strip_suffix('?').unwrap_or(parameter), false),
        };
        if last && at + 1 < segments.len() {
            return Err(format!("`{segment}` takes all the rest of the path, so it comes last"));
        }
        if optional && last {
            return Err(format!("`{segment}` cannot follow an optional parameter: nobody could tell them apart"));
        }
        if optional && !parameter.ends_with('?') {
            return Err(format!("`{segment}` follows an optional parameter, so it has to be optional, too"));
        }
        optional |= parameter.ends_with('?');
        let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || !name.chars().all(plain) {
            return Err(format!(
                "`{segment}` is no parameter: write `{{name}}`, `{{name?}}` or `{{*rest}}`, of letters, digits, `_` and `-`"
            ));
        }
        if names.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            return Err(format!("two parameters are named `{name}`"));
        }
        names.push(name.to_owned());
    }
    Ok(())
}

/// What is between the braces, if the segment is a parameter.
fn parameter(segment: &str) -> Result<Option<&str>, String> {
    if segment.is_empty() {
        return Err("a route has no empty segments: there are two `/` in a row".to_owned());
    }
    if let Some(inner) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        return Ok(Some(inner));
    }
    if segment.contains(['{', '}']) {
        return Err(format!("a parameter is a segment of its own, so `{segment}` cannot be"));
    }
    if segment == "."
        || segment == ".."
        || segment.contains(['?', '#', '*', '\\'])
        || segment.contains(char::is_whitespace)
        || segment.contains(char::is_control)
    {
        return Err(format!("`{segment}` holds what no path holds"));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn routes_are_checked() {
        for route in ["a", "orchestrators/{functionName}/{instanceId}", "{x}/{y?}/{z?}", "files/{*rest}"] {
            assert_eq!(check(route), Ok(()), "{route}");
        }
        for (route, why) in [
            ("", "not empty"),
            ("/a", "begins"),
            ("a/", "ends"),
            ("a//b", "empty segments"),
            ("a/x{id}", "segment of its own"),
            ("{id:int}", "is no parameter"),
            ("{}", "is no parameter"),
            ("{*rest}/a", "comes last"),
            ("{a?}/b", "cannot follow"),
            ("{a?}/{b}", "optional, too"),
            ("{a?}/{*b}", "cannot follow"),
            ("a/../b", "no path"),
            ("{a}/{A}", "two parameters"),
            ("a?b=1", "no path"),
        ] {
            let error = check(route).expect_err(route);
            assert!(error.contains(why), "{route}: {error}");
        }
    }
}
