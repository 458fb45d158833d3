//! What stands in the parentheses of an attribute.

use proc_macro2::{Span, TokenStream};
use syn::meta::ParseNestedMeta;
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Error, LitBool, LitStr, Result, Token, bracketed};

use crate::function::Kind;

/// The arguments of an attribute; which of them there can be depends on the kind.
#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) name: Option<LitStr>,
    pub(crate) route: Option<LitStr>,
    /// In capitals.
    pub(crate) methods: Option<Vec<LitStr>>,
    pub(crate) auth: Option<LitStr>,
    pub(crate) schedule: Option<LitStr>,
    pub(crate) use_monitor: Option<LitBool>,
    pub(crate) run_on_startup: Option<LitBool>,
}

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const AUTH: [&str; 3] = ["anonymous", "function", "admin"];
const NEEDS_SCHEDULE: &str = "a timer function needs its schedule, six fields from the second on: \
                              `#[durawasm::timer(schedule = \"0 */5 * * * *\")]`";

impl Arguments {
    pub(crate) fn parse(kind: Kind, tokens: TokenStream) -> Result<Self> {
        if let Ok(literal) = syn::parse2::<LitStr>(tokens.clone()) {
            let argument = match kind {
                Kind::Orchestrator | Kind::Activity | Kind::Manual => "name",
                Kind::Http | Kind::Incoming => "route",
                Kind::Timer => "schedule",
            };
            return Err(Error::new(literal.span(), format!("write `{argument} = {:?}`", literal.value())));
        }
        let mut arguments = Self::default();
        syn::meta::parser(|argument| arguments.take(kind, &argument)).parse2(tokens)?;
        if kind == Kind::Timer && arguments.schedule.is_none() {
            return Err(Error::new(Span::call_site(), NEEDS_SCHEDULE));
        }
        Ok(arguments)
    }

    fn take(&mut self, kind: Kind, argument: &ParseNestedMeta<'_>) -> Result<()> {
        let name = argument.path.get_ident().map(ToString::to_string).unwrap_or_default();
        match (name.as_str(), kind) {
            ("name", _) => once(&mut self.name, argument, "name", text),
            ("route", Kind::Http | Kind::Incoming) => once(&mut self.route, argument, "route", route),
            ("methods", Kind::Http | Kind::Incoming) => once(&mut self.methods, argument, "methods", methods),
            ("auth", Kind::Http | Kind::Incoming) => once(&mut self.auth, argument, "auth", auth),
            ("schedule", Kind::Timer) => once(&mut self.schedule, argument, "schedule", schedule),
            ("use_monitor", Kind::Timer) => once(&mut self.use_monitor, argument, "use_monitor", flag),
            ("run_on_startup", Kind::Timer) => once(&mut self.run_on_startup, argument, "run_on_startup", flag),
            (_, Kind::Http | Kind::Incoming) => Err(argument.error(
                "the arguments are `route = \"…\"`, `methods = [\"GET\"]`, `auth = \"anonymous\" | \"function\" | \
                 \"admin\"` and `name = \"…\"`",
            )),
            (_, Kind::Timer) => Err(argument.error(
                "the arguments are `schedule = \"…\"`, `use_monitor = false`, `run_on_startup = true` and `name = \"…\"`",
            )),
            (_, Kind::Orchestrator | Kind::Activity | Kind::Manual) => {
                Err(argument.error("the only argument is `name = \"…\"`"))
            }
        }
    }
}

fn once<T>(
    place: &mut Option<T>,
    argument: &ParseNestedMeta<'_>,
    name: &str,
    read: fn(ParseStream<'_>) -> Result<T>,
) -> Result<()> {
    if place.is_some() {
        return Err(argument.error(format!("`{name}` is given twice")));
    }
    *place = Some(read(argument.value()?)?);
    Ok(())
}

fn text(input: ParseStream<'_>) -> Result<LitStr> {
    input.parse()
}

fn flag(input: ParseStream<'_>) -> Result<LitBool> {
    input.parse()
}

fn auth(input: ParseStream<'_>) -> Result<LitStr> {
    let auth: LitStr = input.parse()?;
    if AUTH.contains(&auth.value().as_str()) {
        return Ok(auth);
    }
    Err(Error::new(auth.span(), "`auth` is \"anonymous\", \"function\" or \"admin\""))
}

fn methods(input: ParseStream<'_>) -> Result<Vec<LitStr>> {
    const SHAPE: &str = "`methods` is a list of names: `methods = [\"GET\", \"POST\"]`; without it all are taken";
    if !input.peek(syn::token::Bracket) {
        return Err(input.error(SHAPE));
    }
    let list;
    let brackets = bracketed!(list in input);
    let given = Punctuated::<LitStr, Token![,]>::parse_terminated(&list)?;
    let mut methods: Vec<LitStr> = vec![];
    for method in given {
        let value = method.value().to_ascii_uppercase();
        if !METHODS.contains(&value.as_str()) {
            return Err(Error::new(method.span(), format!("a method is one of {}", METHODS.join(", "))));
        }
        if methods.iter().any(|other| other.value() == value) {
            return Err(Error::new(method.span(), format!("{value} is given twice")));
        }
        methods.push(LitStr::new(&value, method.span()));
    }
    if methods.is_empty() {
        return Err(Error::new(brackets.span.join(), SHAPE));
    }
    Ok(methods)
}

fn route(input: ParseStream<'_>) -> Result<LitStr> {
    let route: LitStr = input.parse()?;
    match crate::route::check(&route.value()) {
        Ok(()) => Ok(route),
        Err(message) => Err(Error::new(route.span(), message)),
    }
}

fn schedule(input: ParseStream<'_>) -> Result<LitStr> {
    let schedule: LitStr = input.parse()?;
    let value = schedule.value();
    let fields = value.split_whitespace().count();
    if fields == 6 {
        return Ok(schedule);
    }
    let count = match fields {
        5 => "has 5 fields; the seconds come first: \"0 */5 * * * *\"".to_owned(),
        other => format!("has {other} fields"),
    };
    let message =
        format!("a schedule has six fields (second, minute, hour, day, month, day of the week); this one {count}");
    Err(Error::new(schedule.span(), message))
}
