//! From a function to a function of an app.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::parse::Parser;
use syn::spanned::Spanned;
use syn::{Error, FnArg, ItemFn, LitStr, Result, ReturnType, Type};

/// Which attribute it is.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Orchestrator,
    Activity,
}

impl Kind {
    fn an(self) -> &'static str {
        match self {
            Self::Orchestrator => "an orchestrator",
            Self::Activity => "an activity",
        }
    }

    fn context(self) -> &'static str {
        match self {
            Self::Orchestrator => "OrchestrationContext",
            Self::Activity => "ActivityContext",
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
    let added =
        name(arguments, &function).and_then(|name| implementation(kind, &name, &function)).unwrap_or_else(|error| {
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
fn name(arguments: TokenStream, function: &ItemFn) -> Result<LitStr> {
    let mut name = None;
    let parser = syn::meta::parser(|argument| {
        if !argument.path.is_ident("name") {
            return Err(argument.error("the only argument is `name = \"…\"`"));
        }
        if name.is_some() {
            return Err(argument.error("`name` is given twice"));
        }
        name = Some(argument.value()?.parse::<LitStr>()?);
        Ok(())
    });
    if let Ok(literal) = syn::parse2::<LitStr>(arguments.clone()) {
        return Err(Error::new(literal.span(), format!("write `name = {:?}`", literal.value())));
    }
    parser.parse2(arguments)?;
    let ident = &function.sig.ident;
    let name = name.unwrap_or_else(|| {
        let text = ident.to_string();
        LitStr::new(text.strip_prefix("r#").unwrap_or(&text), ident.span())
    });
    match name.value().chars().count() {
        1..=128 => Ok(name),
        _ => Err(Error::new(name.span(), "a function's name has 1 to 128 characters")),
    }
}

fn implementation(kind: Kind, name: &LitStr, function: &ItemFn) -> Result<TokenStream> {
    check(kind, function)?;
    let (visibility, ident) = (&function.vis, &function.sig.ident);
    let types = parameters(kind, function)?;
    let output = output(kind, function)?;
    let (constructor, runner) = match kind {
        Kind::Orchestrator => (format_ident!("orchestrator"), format_ident!("orchestrate")),
        Kind::Activity => (format_ident!("activity"), format_ident!("perform")),
    };
    let output_bound = quote_spanned!(output.span()=> ::durawasm::__private::assert_output::<#output>());
    let (input, call) = match types.get(1) {
        Some(input) => (quote!(#input), quote!(|context, input: #input| #ident(context, input))),
        None => (quote!(::durawasm::__private::Ignored), quote!(|context, _| #ident(context))),
    };
    let input_bound = quote_spanned!(input.span()=> ::durawasm::__private::assert_input::<#input>());
    Ok(quote! {
        #[doc(hidden)]
        #[allow(non_camel_case_types, reason = "named like its function, for `durawasm::app!`")]
        #visibility struct #ident {}

        const _: () = {
            impl ::durawasm::__private::Function for #ident {
                const DEFINITION: ::durawasm::__private::Definition =
                    ::durawasm::__private::Definition::#constructor(#name, |input| {
                        let read = #input_bound;
                        let write = #output_bound;
                        ::durawasm::__private::#runner(input, read, #call, write)
                    });
            }
        };
    })
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
        (Kind::Activity, Some(token)) => {
            return Err(Error::new(
                token.span,
                "an activity is not async: it has a component of its own and may block, so write `fn`",
            ));
        }
        _ => {}
    }
    if !signature.generics.params.is_empty() {
        let message = format!("{} has no generic parameters: the host calls it by name", kind.an());
        return Err(Error::new(signature.generics.span(), message));
    }
    Ok(())
}

/// The types of the parameters: the context and, perhaps, the input.
fn parameters(kind: Kind, function: &ItemFn) -> Result<Vec<&Type>> {
    let hint = format!("`{}(ctx: {}, input: T)`", function.sig.ident, kind.context());
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
            format!("{} takes its context first: {hint}, with or without the input", kind.an()),
        ),
        [context, ..] if !is_context(kind, context) => at(
            context.span(),
            format!("the first parameter of {} is its context, `{}`: {hint}", kind.an(), kind.context()),
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
fn is_context(kind: Kind, parameter: &Type) -> bool {
    let Type::Path(path) = parameter else { return false };
    path.path.segments.last().is_some_and(|segment| segment.ident == kind.context())
}

fn output(kind: Kind, function: &ItemFn) -> Result<&Type> {
    match &function.sig.output {
        ReturnType::Type(_, output) => Ok(output),
        ReturnType::Default => {
            let message = format!("{} returns a result: `-> Result<()>` if it has nothing to say", kind.an());
            Err(Error::new(function.sig.paren_token.span.close(), message))
        }
    }
}
