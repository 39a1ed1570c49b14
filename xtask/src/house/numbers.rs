//! Numbers that only `abi` may know: those of helpers, kernel functions, kinds of maps,
//! programs, attachments and commands, and Linux's limits.
//!
//! Seen are integer literals where such a number belongs: given to what takes one, compared
//! with or matched against what holds one, and constants that are called as a row of `abi` is.
//! Tests write programs by number, and are left out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use quote::ToTokens;
use skep_abi::{AttachType, Cmd, Helper, MapType, ProgType};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr, Item, Lit, Member, Pat};

use super::modules::is_left_out;

/// Functions and variants that take a number of a row first.
const TAKE: [&str; 6] = ["from_id", "from_number", "from_btf_id", "helper", "Helper", "set_type"];

/// Fields, variables and methods that hold one.
const HOLD: [&str; 11] = [
    "helper",
    "helper_id",
    "func_id",
    "kfunc",
    "map_type",
    "prog_type",
    "attach_type",
    "expected_attach_type",
    "cmd",
    "program_type",
    "map_kind",
];

/// Where Linux's limits stand.
const LIMITS: &str = "crates/abi/src/limits.rs";

/// The places of a crate's sources, in `folder`, where a number should have a name.
///
/// # Errors
/// A file that cannot be read, or is no Rust.
pub fn read(folder: &Path, named: &Named) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<PathBuf> = std::fs::read_dir(&folder)
            .with_context(|| folder.display().to_string())?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?;
        entries.sort();
        for path in entries {
            if path.is_dir() {
                // Modules that only tests have.
                if path.file_name().is_some_and(|name| name != "tests") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|kind| kind == "rs")
                && path.file_name().is_some_and(|name| name != "tests.rs")
            {
                let text = std::fs::read_to_string(&path)?;
                let shown = path.display().to_string();
                faults.extend(
                    look(&text, named)
                        .with_context(|| shown.clone())?
                        .iter()
                        .map(|fault| format!("{shown}:{}: {}", fault.line, fault.what)),
                );
            }
        }
    }
    Ok(faults)
}

/// What constants of other crates may not be called.
pub struct Named(BTreeSet<String>);

impl Named {
    /// The names of `abi`'s rows and limits.
    ///
    /// # Errors
    /// The limits cannot be read.
    pub fn read() -> Result<Named> {
        let text = std::fs::read_to_string(LIMITS).context(LIMITS)?;
        let limits = syn::parse_file(&text).context(LIMITS)?.items.into_iter();
        let limits = limits.filter_map(|item| match item {
            Item::Const(constant) => Some(constant.ident.to_string()),
            _ => None,
        });
        let upper = |name: &str| name.to_ascii_uppercase();
        // A helper or a command may be called without `BPF_` as well; `XDP` alone is many things.
        let short = |name: String| [name.trim_start_matches("BPF_").to_owned(), name];
        let helpers = Helper::all().iter().flat_map(|row| short(upper(row.name)));
        let kinds = MapType::ALL.iter().map(|kind| format!("BPF_MAP_TYPE_{}", upper(kind.name())));
        let programs =
            ProgType::ALL.iter().map(|kind| format!("BPF_PROG_TYPE_{}", upper(kind.name())));
        let attaches = AttachType::ALL.iter().map(|kind| format!("BPF_{}", upper(kind.name())));
        let commands = Cmd::ALL.iter().flat_map(|cmd| short(upper(cmd.name())));
        let all = limits.chain(helpers).chain(kinds).chain(programs).chain(attaches);
        Ok(Named(all.chain(commands).collect()))
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

/// A number without a name.
#[derive(PartialEq, Eq, Debug)]
struct Fault {
    line: usize,
    what: String,
}

/// Looks a file over.
fn look(text: &str, named: &Named) -> Result<Vec<Fault>> {
    let mut search = Search { named, faults: Vec::new() };
    search.visit_file(&syn::parse_file(text)?);
    Ok(search.faults)
}

struct Search<'n> {
    named: &'n Named,
    faults: Vec<Fault>,
}

impl Search<'_> {
    fn fault(&mut self, at: &dyn SpannedTokens) {
        let what = format!("`{}`: the number has a name in abi", at.text());
        self.faults.push(Fault { line: at.line(), what });
    }
}

/// What can be pointed at and shown.
trait SpannedTokens {
    fn line(&self) -> usize;
    fn text(&self) -> String;
}

impl<T: Spanned + ToTokens> SpannedTokens for T {
    fn line(&self) -> usize {
        self.span().start().line
    }
    fn text(&self) -> String {
        self.to_token_stream().to_string()
    }
}

/// Whether it is an integer as such; 0 stands for "none" in many structures.
fn is_number(expr: &Expr) -> bool {
    match expr {
        Expr::Lit(literal) => is_integer(&literal.lit),
        Expr::Paren(inner) => is_number(&inner.expr),
        Expr::Cast(cast) => is_number(&cast.expr),
        _ => false,
    }
}

fn is_integer(literal: &Lit) -> bool {
    matches!(literal, Lit::Int(number) if number.base10_parse::<u64>().is_ok_and(|number| number != 0))
}

/// The last name of a path, a field or a method call.
fn last_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Path(path) => Some(path.path.segments.last()?.ident.to_string()),
        Expr::Field(field) => match &field.member {
            Member::Named(name) => Some(name.to_string()),
            Member::Unnamed(_) => None,
        },
        Expr::MethodCall(call) => Some(call.method.to_string()),
        Expr::Unary(unary) => last_name(&unary.expr),
        Expr::Reference(reference) => last_name(&reference.expr),
        Expr::Paren(inner) => last_name(&inner.expr),
        Expr::Cast(cast) => last_name(&cast.expr),
        _ => None,
    }
}

fn holds(expr: &Expr) -> bool {
    last_name(expr).is_some_and(|name| HOLD.contains(&name.as_str()))
}

fn takes(name: &str) -> bool {
    TAKE.contains(&name)
}

/// Whether a pattern has an integer as such.
fn has_number(pattern: &Pat) -> bool {
    match pattern {
        Pat::Lit(literal) => is_integer(&literal.lit),
        Pat::Or(or) => or.cases.iter().any(has_number),
        Pat::Range(_) => true,
        Pat::Ident(bound) => bound.subpat.as_ref().is_some_and(|(_, inner)| has_number(inner)),
        Pat::TupleStruct(inner) => inner.elems.iter().any(has_number),
        _ => false,
    }
}

impl<'ast> Visit<'ast> for Search<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Mod(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Const(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_left_out(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_const(&mut self, constant: &'ast syn::ItemConst) {
        let name = constant.ident.to_string();
        if self.named.has(&name) && is_number(&constant.expr) {
            self.fault(&constant.ident);
        }
        visit::visit_item_const(self, constant);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        let first = call.args.first().is_some_and(is_number);
        if first && last_name(&call.func).is_some_and(|name| takes(&name)) {
            self.fault(call);
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if call.args.first().is_some_and(is_number) && takes(&call.method.to_string()) {
            self.fault(call);
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
        let compares = matches!(
            binary.op,
            BinOp::Eq(_) | BinOp::Ne(_) | BinOp::Lt(_) | BinOp::Le(_) | BinOp::Gt(_) | BinOp::Ge(_)
        );
        let (left, right) = (&*binary.left, &*binary.right);
        if compares && (holds(left) && is_number(right) || holds(right) && is_number(left)) {
            self.fault(binary);
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_match(&mut self, choice: &'ast syn::ExprMatch) {
        if holds(&choice.expr) {
            for arm in choice.arms.iter().filter(|arm| has_number(&arm.pat)) {
                self.fault(&arm.pat);
            }
        }
        visit::visit_expr_match(self, choice);
    }

    fn visit_macro(&mut self, invoked: &'ast syn::Macro) {
        // `matches!(helper, 1 | 2)`
        if invoked.path.is_ident("matches")
            && let Ok(parts) = invoked.parse_body_with(|input: syn::parse::ParseStream<'_>| {
                let expr: Expr = input.parse()?;
                input.parse::<syn::Token![,]>()?;
                let pattern = Pat::parse_multi_with_leading_vert(input)?;
                input.parse::<proc_macro2::TokenStream>()?;
                Ok((expr, pattern))
            })
            && holds(&parts.0)
            && has_number(&parts.1)
        {
            self.fault(invoked);
        }
        visit::visit_macro(self, invoked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<usize> {
        let named = Named(["MAX_STACK", "MAP_LOOKUP_ELEM"].map(str::to_owned).into());
        look(text, &named).unwrap().iter().map(|fault| fault.line).collect()
    }

    #[test]
    fn a_number_where_a_name_belongs_is_a_fault() {
        assert_eq!(faults("const MAX_STACK: i32 = 512;"), [1]);
        assert_eq!(faults("const MAP_LOOKUP_ELEM: u32 = 1;"), [1]);
        assert_eq!(faults("fn f(b: B) {\n b.helper(1) }"), [2]);
        assert_eq!(faults("fn f(a: A) -> bool { a.helper == 12 }"), [1]);
        assert_eq!(faults("fn f(a: A) -> bool {\n matches!(a.map_type, 1 | 2) }"), [2]);
        assert_eq!(faults("fn f(a: A) { match a.prog_type {\n 3 => {}\n _ => {} } }"), [2]);
        assert_eq!(
            faults("fn f() { Callee::Helper(7 as u32); MapType::from_number(2); }").len(),
            2
        );
    }

    #[test]
    fn names_tests_and_other_numbers_are_none() {
        assert!(faults("const OTHER: i32 = 512; use abi::limits::MAX_STACK;").is_empty());
        assert!(faults("fn f(b: B) { b.helper(id::MAP_LOOKUP_ELEM); b.set(1) }").is_empty());
        assert!(faults("fn f(a: A) -> bool { a.helper == 0 || a.count == 3 }").is_empty());
        assert!(faults("#[cfg(test)] mod tests { fn f(b: B) { b.helper(1) } }").is_empty());
    }
}
