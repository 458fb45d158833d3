//! From a function to a function of an app.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, FnArg, Ident, ItemFn, ItemStruct, LitStr, Result, ReturnType, Type};

use crate::arguments::Arguments;

/// Which attribute it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Orchestrator,
    Activity,
    Http,
    Incoming,
    Manual,
    Timer,
}

impl Kind {
    fn an(self) -> &'static str {
        match self {
            Self::Orchestrator => "an orchestrator",
            Self::Activity => "an activity",
            Self::Http => "an HTTP function",
            Self::Incoming => "an HTTP function that streams",
            Self::Manual => "a manual function",
            Self::Timer => "a timer function",
        }
    }

    fn context(self) -> &'static str {
        match self {
            Self::Orchestrator => "OrchestrationContext",
            Self::Activity => "ActivityContext",
            Self::Http | Self::Incoming | Self::Manual | Self::Timer => "FunctionContext",
        }
    }

    /// What the second parameter is called, and how it is written.
    fn second(self) -> (&'static str, &'static str) {
        match self {
            Self::Orchestrator | Self::Activity | Self::Manual => ("input", "input: T"),
            Self::Http | Self::Incoming => ("request", "request: HttpRequest"),
            Self::Timer => ("input", "timer: TimerInfo"),
        }
    }
}

/// What follows from the attribute, or errors that point at what is wrong. The function itself stays in both cases:
/// without it every use of it would be reported too.
pub(crate) fn expand(kind: Kind, arguments: TokenStream, item: TokenStream) -> TokenStream {
    let function: ItemFn = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            let message = format!("{} is a function: {error}", kind.an());
            let error = Error::new(error.span(), message).into_compile_error();
            return quote!(#item #error);
        }
    };
    let added = Arguments::parse(kind, arguments)
        .and_then(|arguments| implementation(kind, &arguments, &function))
        .unwrap_or_else(|error| {
            let error = error.into_compile_error();
            let stub = stub(&function);
            quote!(#error #stub)
        });
    quote!(#function #added)
}

/// So that `app!` finds the function and does not add an error of its own.
fn stub(function: &ItemFn) -> TokenStream {
    let (visibility, ident) = (&function.vis, &function.sig.ident);
    quote! {
        #[doc(hidden)]
        #[allow(non_camel_case_types, reason = "named like its function, for `durawasm::app!`")]
        #visibility struct #ident {}

        impl ::durawasm::__private::Function for #ident {
            const DEFINITION: ::durawasm::__private::Definition =
                ::durawasm::__private::Definition::activity(::core::stringify!(#ident), |_| ::core::unreachable!());
        }
    }
}

/// The name of the attribute's arguments, or the function's own.
fn name(arguments: &Arguments, ident: &Ident) -> Result<LitStr> {
    let name = arguments.name.clone().unwrap_or_else(|| {
        let text = ident.to_string();
        LitStr::new(text.strip_prefix("r#").unwrap_or(&text), ident.span())
    });
    match name.value().chars().count() {
        1..=128 => Ok(name),
        _ => Err(Error::new(name.span(), "a function's name has 1 to 128 characters")),
    }
}

fn implementation(kind: Kind, arguments: &Arguments, function: &ItemFn) -> Result<TokenStream> {
    let name = name(arguments, &function.sig.ident)?;
    check(kind, function)?;
    let (visibility, ident) = (&function.vis, &function.sig.ident);
    let types = parameters(kind, function)?;
    let output = output(kind, function)?;
    let json = |constructor, runner, first| {
        let how = Json { constructor, runner, first };
        with_json(&how, ident, &types, output)
    };
    let definition = match kind {
        Kind::Orchestrator => json("orchestrator", "orchestrate", quote!(#name)),
        Kind::Activity => json("activity", "perform", quote!(#name)),
        Kind::Manual => json("manual", "trigger", quote!(#name)),
        Kind::Timer => {
            let schedule = &arguments.schedule;
            let (use_monitor, run_on_startup) =
                (option(arguments.use_monitor.as_ref()), option(arguments.run_on_startup.as_ref()));
            let options = quote!(::durawasm::__private::TimerOptions {
                schedule: #schedule,
                use_monitor: #use_monitor,
                run_on_startup: #run_on_startup,
            });
            json("timer", "trigger", quote!(#name, #options))
        }
        // It is no function, and expanded elsewhere.
        Kind::Incoming => TokenStream::new(),
        Kind::Http => with_request(&name, arguments, ident, &types, output),
    };
    Ok(quote! {
        #[doc(hidden)]
        #[allow(non_camel_case_types, reason = "named like its function, for `durawasm::app!`")]
        #visibility struct #ident {}

        const _: () = {
            impl ::durawasm::__private::Function for #ident {
                const DEFINITION: ::durawasm::__private::Definition =
                    ::durawasm::__private::Definition::#definition;
            }
        };
    })
}

/// How a function that takes JSON and gives JSON is defined.
struct Json {
    /// Of `Definition`.
    constructor: &'static str,
    /// What runs it.
    runner: &'static str,
    /// The first arguments of the constructor: the name and what else the kind needs.
    first: TokenStream,
}

/// The call that makes the definition of a function that takes JSON and gives JSON.
fn with_json(how: &Json, ident: &Ident, types: &[&Type], output: &Type) -> TokenStream {
    let (constructor, runner) = (format_ident!("{}", how.constructor), format_ident!("{}", how.runner));
    let first = &how.first;
    let output_bound = quote_spanned!(output.span()=> ::durawasm::__private::assert_output::<#output>());
    let (input, call) = match types.get(1) {
        Some(input) => (quote!(#input), quote!(|context, input: #input| #ident(context, input))),
        None => (quote!(::durawasm::__private::Ignored), quote!(|context, _| #ident(context))),
    };
    let input_bound = quote_spanned!(input.span()=> ::durawasm::__private::assert_input::<#input>());
    quote! {
        #constructor(#first, |input| {
            let read = #input_bound;
            let write = #output_bound;
            ::durawasm::__private::#runner(input, read, #call, write)
        })
    }
}

/// The call that makes the definition of an HTTP function.
fn with_request(name: &LitStr, arguments: &Arguments, ident: &Ident, types: &[&Type], output: &Type) -> TokenStream {
    let output_bound = quote_spanned!(output.span()=> ::durawasm::__private::assert_response::<#output>());
    let call = match types.get(1) {
        Some(request) => quote!(|context, request: #request| #ident(context, request)),
        None => quote!(|context, _| #ident(context)),
    };
    let options = http_options(arguments, None);
    quote! {
        http(
            #name,
            #options,
            |request| {
                let write = #output_bound;
                ::durawasm::__private::respond(request, #call, write)
            },
        )
    }
}

fn http_options(arguments: &Arguments, handler: Option<&str>) -> TokenStream {
    let route = option(arguments.route.as_ref());
    let methods = arguments.methods.as_deref().unwrap_or_default();
    let (auth, handler) = (option(arguments.auth.as_ref()), option(handler.as_ref()));
    quote!(::durawasm::__private::HttpOptions {
        route: #route,
        methods: &[#(#methods),*],
        auth_level: #auth,
        handler: #handler,
    })
}

/// An HTTP function that the component's `wasi:http/incoming-handler` answers for: a struct without fields stands for it.
pub(crate) fn expand_incoming(arguments: TokenStream, item: TokenStream) -> TokenStream {
    const SHAPE: &str = "an HTTP function that streams is declared by a struct without fields, `struct Upload;`: its code is \
                         the component's export wasi:http/incoming-handler";
    let declared = || -> Result<TokenStream> {
        let declared: ItemStruct = syn::parse2(item.clone()).map_err(|error| Error::new(error.span(), SHAPE))?;
        if !declared.fields.is_empty() || !declared.generics.params.is_empty() {
            return Err(Error::new(declared.ident.span(), SHAPE));
        }
        let arguments = Arguments::parse(Kind::Incoming, arguments)?;
        let name = name(&arguments, &declared.ident)?;
        let (ident, options) = (&declared.ident, http_options(&arguments, Some("incoming")));
        Ok(quote! {
            impl ::durawasm::__private::Function for #ident {
                const DEFINITION: ::durawasm::__private::Definition =
                    ::durawasm::__private::Definition::incoming(#name, #options);
            }
        })
    };
    let added = declared().unwrap_or_else(Error::into_compile_error);
    quote!(#item #added)
}

fn option(literal: Option<&impl ToTokens>) -> TokenStream {
    match literal {
        Some(literal) => quote!(::core::option::Option::Some(#literal)),
        None => quote!(::core::option::Option::None),
    }
}

fn check(kind: Kind, function: &ItemFn) -> Result<()> {
    let signature = &function.sig;
    match (kind, signature.asyncness) {
        (Kind::Orchestrator, None) => {
            return Err(Error::new(
                signature.fn_token.span,
                "an orchestrator is async, for it awaits its tasks: write `async fn`",
            ));
        }
        (Kind::Activity | Kind::Http | Kind::Incoming | Kind::Manual | Kind::Timer, Some(token)) => {
            let message =
                format!("{} is not async: it has a component of its own and may block, so write `fn`", kind.an());
            return Err(Error::new(token.span, message));
        }
        (Kind::Orchestrator, Some(_))
        | (Kind::Activity | Kind::Http | Kind::Incoming | Kind::Manual | Kind::Timer, None) => {}
    }
    if !signature.generics.params.is_empty() {
        let message = format!("{} has no generic parameters: the host calls it by name", kind.an());
        return Err(Error::new(signature.generics.span(), message));
    }
    Ok(())
}

/// The types of the parameters: the context and, perhaps, the input.
fn parameters(kind: Kind, function: &ItemFn) -> Result<Vec<&Type>> {
    let (second, written) = kind.second();
    let hint = format!("`{}(ctx: {}, {written})`", function.sig.ident, kind.context());
    let mut types = vec![];
    for parameter in &function.sig.inputs {
        match parameter {
            FnArg::Typed(parameter) => types.push(&*parameter.ty),
            FnArg::Receiver(receiver) => {
                let message = format!("{} is a free function without `self`: {hint}", kind.an());
                return Err(Error::new(receiver.span(), message));
            }
        }
    }
    let at = |span: Span, message: String| Err(Error::new(span, message));
    match types.as_slice() {
        [] => at(
            function.sig.paren_token.span.join(),
            format!("{} takes its context first: {hint}, with or without the {second}", kind.an()),
        ),
        [context, ..] if !is_path_to(context, kind.context()) => at(
            context.span(),
            format!("the first parameter of {} is its context, `{}`: {hint}", kind.an(), kind.context()),
        ),
        [_, _, third, ..] if kind == Kind::Http => at(
            third.span(),
            "an HTTP function takes its context and the request, which has all the rest: `request.param(\"id\")`, \
             `request.query(\"page\")`, `request.json()?`"
                .to_owned(),
        ),
        [_, request, ..] if kind == Kind::Http && !is_path_to(request, "HttpRequest") => at(
            request.span(),
            format!("the second parameter of an HTTP function is the request, `HttpRequest`: {hint}"),
        ),
        [_, _, third, ..] => {
            at(third.span(), format!("{} takes one input: put several values into a struct or a tuple", kind.an()))
        }
        [_, input @ Type::Reference(_)] => at(
            input.span(),
            format!(
                "the input of {} owns its data: `String` rather than `&str`, `Vec<T>` rather than `&[T]`",
                kind.an()
            ),
        ),
        _ => Ok(types),
    }
}

/// By the last word of the path: an alias would be refused, for the sake of a clear message in all other cases.
fn is_path_to(parameter: &Type, name: &str) -> bool {
    let Type::Path(path) = parameter else { return false };
    path.path.segments.last().is_some_and(|segment| segment.ident == name)
}

fn output(kind: Kind, function: &ItemFn) -> Result<&Type> {
    match &function.sig.output {
        ReturnType::Type(_, output) => Ok(output),
        ReturnType::Default => {
            let message = if kind == Kind::Http {
                "an HTTP function returns a response: `-> Result<HttpResponse>`".to_owned()
            } else {
                format!("{} returns a result: `-> Result<()>` if it has nothing to say", kind.an())
            };
            Err(Error::new(function.sig.paren_token.span.close(), message))
        }
    }
}
