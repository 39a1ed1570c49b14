//! The derive of `skep::hook::HookContext`: rows for the verifier from a structure's fields,
//! and how its values go to programs and come back.
//!
//! What a field may be is the trait `skep::hook::Member`'s to say; that nothing lies between
//! fields is checked where the structure is compiled.
#![forbid(unsafe_code)]

use proc_macro::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Error, Field, Fields, Result, parse_macro_input};

/// Describes a structure as what programs at a hook get.
///
/// It must be `#[repr(C)]`, without padding. Programs may read all fields, and write those with
/// `#[hook(write)]`.
#[proc_macro_derive(HookContext, attributes(hook))]
pub fn hook_context(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    derive(&input).unwrap_or_else(Error::into_compile_error).into()
}

fn derive(input: &DeriveInput) -> Result<proc_macro2::TokenStream> {
    let name = &input.ident;
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(name, "a context is a struct"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new_spanned(name, "a context has fields with names"));
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(&input.generics, "a context has no parameters"));
    }
    if fields.named.is_empty() {
        return Err(Error::new_spanned(name, "a context has fields"));
    }
    if !is_c(&input.attrs)? {
        return Err(Error::new_spanned(name, "a context is #[repr(C)]"));
    }
    let fields: Vec<&Field> = fields.named.iter().collect();
    let names: Vec<_> = fields.iter().filter_map(|field| field.ident.as_ref()).collect();
    let types: Vec<_> = fields.iter().map(|field| &field.ty).collect();
    let writes = fields.iter().map(|field| is_written(field)).collect::<Result<Vec<_>>>()?;
    let plain = |text: String| text.strip_prefix("r#").map(str::to_owned).unwrap_or(text);
    let called: Vec<String> = names.iter().map(|name| plain(name.to_string())).collect();
    let struct_name = name.to_string();
    let checks = types.iter().map(|ty| {
        // The error stands at the field's type.
        quote_spanned! { ty.span() =>
            const _: usize = <#ty as ::skep::hook::Member>::SIZE;
        }
    });
    Ok(quote! {
        #(#checks)*
        const _: () = assert!(
            ::core::mem::size_of::<#name>() == 0 #(+ <#types as ::skep::hook::Member>::SIZE)*,
            "there is padding between the context's fields: order them by size, or name what \
             lies between"
        );
        impl ::skep::hook::HookContext for #name {
            const FIELDS: &'static [::skep::hook::FieldRow] = &[
                #(::skep::hook::FieldRow::of::<#types>(
                    #called, ::core::mem::offset_of!(#name, #names), #writes,
                )),*
            ];
            const ROW: &'static ::skep::abi::Context = &::skep::abi::Context {
                name: #struct_name,
                size: ::core::mem::size_of::<#name>() as u32,
                fields: &[
                    #(::skep::hook::FieldRow::of::<#types>(
                        #called, ::core::mem::offset_of!(#name, #names), #writes,
                    ).field()),*
                ],
            };

            #[inline]
            fn put(&self, to: &mut [u8]) {
                #(::skep::hook::Member::put(
                    &self.#names, to, ::core::mem::offset_of!(#name, #names),
                );)*
            }

            #[inline]
            fn take(from: &[u8]) -> #name {
                #name {
                    #(#names: ::skep::hook::Member::take(
                        from, ::core::mem::offset_of!(#name, #names),
                    )),*
                }
            }
        }
        impl ::skep::hook::Lent for #name {
            const LENT: ::skep::hook::Lending = ::skep::hook::Lending::Context(
                <#name as ::skep::hook::HookContext>::ROW,
            );

            fn read(
                call: &mut dyn ::skep::vm::Arguments,
                _at: usize,
            ) -> ::core::result::Result<#name, ::skep::vm::HelperEnd> {
                ::core::result::Result::Ok(
                    <#name as ::skep::hook::HookContext>::take(call.context()),
                )
            }

            fn write(
                &self,
                call: &mut dyn ::skep::vm::Arguments,
                _at: usize,
            ) -> ::core::result::Result<(), ::skep::vm::HelperEnd> {
                ::skep::hook::HookContext::put(self, call.context());
                ::core::result::Result::Ok(())
            }
        }
    })
}

/// Whether a structure lies in memory as C has it, with nothing else said of that.
fn is_c(attrs: &[Attribute]) -> Result<bool> {
    let mut is_c = false;
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("repr")) {
        attr.parse_nested_meta(|meta| {
            if !meta.path.is_ident("C") {
                return Err(meta.error("a context is #[repr(C)] and nothing else"));
            }
            is_c = true;
            Ok(())
        })?;
    }
    Ok(is_c)
}

/// Whether programs may write the field.
fn is_written(field: &Field) -> Result<bool> {
    let mut written = false;
    for attr in field.attrs.iter().filter(|attr| attr.path().is_ident("hook")) {
        attr.parse_nested_meta(|meta| {
            if !meta.path.is_ident("write") {
                return Err(meta.error("expected `write`"));
            }
            written = true;
            Ok(())
        })?;
    }
    Ok(written)
}
