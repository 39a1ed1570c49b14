//! What of a crate others can name, as text: its public items without their insides. The text
//! is kept in `xtask/faces`, so that a change of it is seen, and meant.
//!
//! Names that a crate hands on from others are told as such. Implementations of traits are
//! not told, nor what a macro makes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use quote::quote;
use syn::punctuated::Punctuated;
use syn::{Block, Fields, ImplItem, Item, TraitItem, UseTree, Visibility};

use super::modules::is_left_out;

/// A module of the crate: where it is, and what it says.
struct Module {
    path: Vec<String>,
    items: Vec<Item>,
}

/// The public items of a crate.
struct Face {
    modules: Vec<Module>,
    /// By the module that others name them in.
    shown: BTreeMap<Vec<String>, Vec<Item>>,
}

/// The public items of the crate in `folder`.
///
/// # Errors
/// A file that cannot be read, or is no Rust.
pub fn read(folder: &Path) -> Result<String> {
    let mut face = Face { modules: Vec::new(), shown: BTreeMap::new() };
    face.load(folder, Path::new("lib.rs"), Vec::new())?;
    face.show(&[], &[], 0);
    face.methods();
    let items = face.nested(&[]);
    Ok(prettyplease::unparse(&syn::parse_quote!(#(#items)*)))
}

impl Face {
    fn load(&mut self, folder: &Path, file: &Path, path: Vec<String>) -> Result<()> {
        let text = std::fs::read_to_string(folder.join(file))
            .with_context(|| folder.join(file).display().to_string())?;
        let items = syn::parse_file(&text).with_context(|| file.display().to_string())?.items;
        let below = match file.file_stem().and_then(|stem| stem.to_str()) {
            Some("lib" | "mod") => file.parent().unwrap_or(Path::new("")).to_path_buf(),
            _ => file.with_extension(""),
        };
        self.enter(folder, &below, path, items)
    }

    fn enter(
        &mut self,
        folder: &Path,
        below: &Path,
        path: Vec<String>,
        items: Vec<Item>,
    ) -> Result<()> {
        for item in &items {
            let Item::Mod(inner) = item else { continue };
            if is_left_out(&inner.attrs) {
                continue;
            }
            let name = inner.ident.to_string();
            let child: Vec<String> = path.iter().cloned().chain([name.clone()]).collect();
            if let Some((_, items)) = &inner.content {
                self.enter(folder, &below.join(&name), child, items.clone())?;
                continue;
            }
            let files = [below.join(format!("{name}.rs")), below.join(&name).join("mod.rs")];
            let found: Option<&PathBuf> = files.iter().find(|file| folder.join(file).exists());
            self.load(folder, found.with_context(|| format!("no file for mod {name}"))?, child)?;
        }
        self.modules.push(Module { path, items });
        Ok(())
    }

    fn module(&self, path: &[String]) -> Option<&Module> {
        self.modules.iter().find(|module| module.path == path)
    }

    /// Shows what a module makes public, in the module that others name it in.
    fn show(&mut self, path: &[String], shown: &[String], depth: usize) {
        let Some(module) = self.module(path).filter(|_| depth < 16) else { return };
        let items = module.items.clone();
        self.shown.entry(shown.to_vec()).or_default();
        for item in items {
            match &item {
                Item::Mod(inner) if is_public(&inner.vis) && !is_left_out(&inner.attrs) => {
                    let name = inner.ident.to_string();
                    self.show(&below(path, &name), &below(shown, &name), depth + 1);
                }
                Item::Use(item) if is_public(&item.vis) && !is_left_out(&item.attrs) => {
                    for (from, name) in names(&item.tree, Vec::new()) {
                        self.hand_on(path, &from, &name, shown, depth);
                    }
                }
                item => self.put(item, shown),
            }
        }
    }

    /// Shows what a `pub use` hands on by this name.
    fn hand_on(
        &mut self,
        at: &[String],
        from: &[String],
        new: &str,
        shown: &[String],
        depth: usize,
    ) {
        let Some((name, before)) = from.split_last().filter(|_| depth < 16) else { return };
        let inside = self.absolute(at, before).filter(|path| {
            // A single name is a crate's, if it is nothing here.
            !before.is_empty()
                || self.module(&below(path, name)).is_some()
                || self.module(path).is_some_and(|module| defines(module, name))
        });
        let Some(path) = inside else {
            let from: Punctuated<syn::Ident, syn::Token![::]> = from
                .iter()
                .map(|name| syn::Ident::new(name, proc_macro2::Span::call_site()))
                .collect();
            let new = syn::Ident::new(new, proc_macro2::Span::call_site());
            self.put(&syn::parse_quote!(pub use #from as #new;), shown);
            return;
        };
        if self.module(&below(&path, name)).is_some() {
            return self.show(&below(&path, name), &below(shown, new), depth + 1);
        }
        let items = self.module(&path).map(|module| module.items.clone()).unwrap_or_default();
        for item in &items {
            match item {
                Item::Use(inner) => {
                    for (from, found) in names(&inner.tree, Vec::new()) {
                        if found == *name {
                            self.hand_on(&path, &from, new, shown, depth + 1);
                        }
                    }
                }
                item if ident(item).is_some_and(|ident| ident == name) => {
                    self.put(&renamed(item, new), shown);
                }
                _ => {}
            }
        }
    }

    /// The module that a path leads to from another one; `None` out of the crate.
    fn absolute(&self, at: &[String], path: &[String]) -> Option<Vec<String>> {
        let (mut from, mut rest) = (at.to_vec(), path);
        match path.first().map(String::as_str) {
            Some("crate") => (from, rest) = (Vec::new(), &path[1..]),
            Some("self") => rest = &path[1..],
            Some("super") => {
                from.pop();
                rest = &path[1..];
            }
            _ => {}
        }
        from.extend(rest.iter().cloned());
        self.module(&from).map(|module| module.path.clone())
    }

    /// Shows an item, if it is public, without its inside.
    fn put(&mut self, item: &Item, shown: &[String]) {
        let mut item = item.clone();
        let (vis, attrs) = match &mut item {
            Item::Const(item) => {
                *item.expr = syn::parse_quote!(_);
                (&item.vis, &mut item.attrs)
            }
            Item::Static(item) => {
                *item.expr = syn::parse_quote!(_);
                (&item.vis, &mut item.attrs)
            }
            Item::Type(item) => (&item.vis, &mut item.attrs),
            Item::Use(item) => (&item.vis, &mut item.attrs),
            Item::Fn(item) => {
                *item.block = nothing();
                (&item.vis, &mut item.attrs)
            }
            Item::Trait(item) => {
                for inner in &mut item.items {
                    if let TraitItem::Fn(inner) = inner {
                        inner.attrs.clear();
                        inner.default = inner.default.as_ref().map(|_| nothing());
                    }
                }
                (&item.vis, &mut item.attrs)
            }
            Item::Struct(item) => {
                only_public(&mut item.fields);
                (&item.vis, &mut item.attrs)
            }
            Item::Enum(item) => {
                for variant in &mut item.variants {
                    variant.attrs.clear();
                    variant.fields.iter_mut().for_each(|field| field.attrs.clear());
                }
                (&item.vis, &mut item.attrs)
            }
            _ => return,
        };
        if is_public(vis) && !is_left_out(attrs) {
            attrs.retain(|attr| attr.path().is_ident("derive"));
            self.shown.entry(shown.to_vec()).or_default().push(item);
        }
    }

    /// Shows the methods of public types, wherever they are written, behind the types.
    fn methods(&mut self) {
        let all = self.modules.iter().flat_map(|module| &module.items);
        let mut written = Vec::new();
        for item in all {
            let Item::Impl(item) = item else { continue };
            let syn::Type::Path(of) = &*item.self_ty else { continue };
            let Some(last) = of.path.segments.last() else { continue };
            let mut item = item.clone();
            item.attrs.clear();
            item.items.retain_mut(|inner| match inner {
                ImplItem::Fn(inner) => {
                    let shown = is_public(&inner.vis) && !is_left_out(&inner.attrs);
                    inner.attrs.clear();
                    inner.block = nothing();
                    shown
                }
                ImplItem::Const(inner) => {
                    inner.attrs.clear();
                    inner.expr = syn::parse_quote!(_);
                    is_public(&inner.vis)
                }
                _ => false,
            });
            if item.trait_.is_none() && !item.items.is_empty() {
                written.push((last.ident.clone(), item));
            }
        }
        for items in self.shown.values_mut() {
            for (name, item) in &written {
                let of_this = |known: &Item| {
                    matches!(known, Item::Struct(_) | Item::Enum(_)) && ident(known) == Some(name)
                };
                if items.iter().any(of_this) {
                    items.push(Item::Impl(item.clone()));
                }
            }
        }
    }

    /// The items of a module and of those below it.
    fn nested(&self, path: &[String]) -> Vec<Item> {
        let mut items = self.shown.get(path).cloned().unwrap_or_default();
        items.sort_by_key(|item| match item {
            Item::Impl(item) => (2, quote!(#item).to_string()),
            item => {
                (1, ident(item).map_or_else(|| quote!(#item).to_string(), |name| name.to_string()))
            }
        });
        for child in self.shown.keys().filter(|child| child.len() == path.len() + 1) {
            if let Some(name) = child.strip_prefix(path).and_then(|rest| rest.first()) {
                let name = syn::Ident::new(name, proc_macro2::Span::call_site());
                let inner = self.nested(child);
                items.push(syn::parse_quote!(pub mod #name { #(#inner)* }));
            }
        }
        items
    }
}

/// Whether a module has an item of this name.
fn defines(module: &Module, name: &str) -> bool {
    module.items.iter().any(|item| ident(item).is_some_and(|ident| ident == name))
}

/// An item by the name that it is handed on by.
fn renamed(item: &Item, new: &str) -> Item {
    let (mut item, new) = (item.clone(), syn::Ident::new(new, proc_macro2::Span::call_site()));
    match &mut item {
        Item::Const(item) => item.ident = new,
        Item::Static(item) => item.ident = new,
        Item::Type(item) => item.ident = new,
        Item::Fn(item) => item.sig.ident = new,
        Item::Trait(item) => item.ident = new,
        // Types keep theirs, which their methods are found by.
        _ => {}
    }
    item
}

fn below(path: &[String], name: &str) -> Vec<String> {
    path.iter().cloned().chain([name.to_owned()]).collect()
}

fn nothing() -> Block {
    syn::parse_quote!({})
}

fn only_public(fields: &mut Fields) {
    let keep = |field: &mut syn::Field| {
        field.attrs.clear();
        is_public(&field.vis)
    };
    let kept = |fields: &mut Punctuated<syn::Field, syn::Token![,]>| {
        *fields = std::mem::take(fields)
            .into_iter()
            .filter_map(|mut field| keep(&mut field).then_some(field))
            .collect();
    };
    match fields {
        Fields::Named(fields) => kept(&mut fields.named),
        Fields::Unnamed(fields) => kept(&mut fields.unnamed),
        Fields::Unit => {}
    }
}

/// The names that a `use` brings in, with the paths that they stand for.
fn names(tree: &UseTree, before: Vec<String>) -> Vec<(Vec<String>, String)> {
    let with = |name: &syn::Ident| below(&before, &name.to_string());
    match tree {
        UseTree::Path(path) => names(&path.tree, with(&path.ident)),
        UseTree::Group(group) => {
            group.items.iter().flat_map(|tree| names(tree, before.clone())).collect()
        }
        UseTree::Name(name) if name.ident == "self" => {
            let last = before.last().cloned().unwrap_or_default();
            vec![(before, last)]
        }
        UseTree::Name(name) => vec![(with(&name.ident), name.ident.to_string())],
        UseTree::Rename(name) if name.ident == "self" => vec![(before, name.rename.to_string())],
        UseTree::Rename(name) => vec![(with(&name.ident), name.rename.to_string())],
        UseTree::Glob(_) => Vec::new(),
    }
}

fn ident(item: &Item) -> Option<&syn::Ident> {
    Some(match item {
        Item::Const(item) => &item.ident,
        Item::Static(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Trait(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        _ => return None,
    })
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}
