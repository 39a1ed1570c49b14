//! The modules of a crate, and what each names of the others, as its sources say.
//!
//! A name counts where it is defined: what a module only hands on is followed to its source,
//! and a module that is imported counts by what is then taken from it. Methods are not seen:
//! who calls one has the type from somewhere. Tests may lean on anything, and are left out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, Macro, UseTree};

/// The files of a crate, and for each the files that it names something of.
pub type Imports = BTreeMap<PathBuf, BTreeSet<PathBuf>>;

/// How often a name may be handed on.
const MOST_HANDED_ON: usize = 32;

/// A module: a file, or a part of one between braces.
struct Module {
    parent: usize,
    file: PathBuf,
    children: HashMap<String, usize>,
    /// Names that `use` brings in, with what they stand for.
    names: HashMap<String, Vec<String>>,
    /// What is brought in whole.
    globs: Vec<Vec<String>>,
    /// Paths of two and more segments.
    paths: BTreeSet<Vec<String>>,
}

/// What a path leads to.
enum Place {
    Module(usize),
    /// Something that this module defines.
    In(usize),
}

/// Reads a crate whose root file this is, in `folder`.
///
/// # Errors
/// A file that cannot be read, or is no Rust.
pub fn read(folder: &Path, root: &str) -> Result<Imports> {
    let mut modules = Vec::new();
    load(&mut modules, folder, Path::new(root), 0)?;
    let mut imports = Imports::new();
    for (at, module) in modules.iter().enumerate() {
        let named = imports.entry(module.file.clone()).or_default();
        let aliases = module.names.iter().filter(|(_, path)| path.len() > 1).map(|(_, path)| path);
        for path in module.paths.iter().chain(aliases) {
            if let Some(Place::In(to)) = resolve(&modules, at, path, MOST_HANDED_ON)
                && modules[to].file != module.file
            {
                named.insert(modules[to].file.clone());
            }
        }
    }
    Ok(imports)
}

/// Reads a file as a module, and the modules below it.
fn load(modules: &mut Vec<Module>, folder: &Path, file: &Path, parent: usize) -> Result<usize> {
    let text = std::fs::read_to_string(folder.join(file))
        .with_context(|| folder.join(file).display().to_string())?;
    let parsed = syn::parse_file(&text).with_context(|| file.display().to_string())?;
    let stem = file.file_stem().unwrap_or_default();
    let owns_folder = ["lib", "main", "mod"].iter().any(|name| stem == *name);
    let below = match owns_folder {
        true => file.parent().unwrap_or(Path::new("")).to_path_buf(),
        false => file.with_extension(""),
    };
    let at = enter(modules, file, parent);
    fill(modules, folder, &below, at, &parsed.items)?;
    Ok(at)
}

fn enter(modules: &mut Vec<Module>, file: &Path, parent: usize) -> usize {
    modules.push(Module {
        parent,
        file: file.to_path_buf(),
        children: HashMap::new(),
        names: HashMap::new(),
        globs: Vec::new(),
        paths: BTreeSet::new(),
    });
    modules.len() - 1
}

/// Enters what the items of a module say; files below it are in `below`.
fn fill(
    modules: &mut Vec<Module>,
    folder: &Path,
    below: &Path,
    at: usize,
    items: &[Item],
) -> Result<()> {
    for item in items {
        if let Item::Mod(inner) = item {
            if is_left_out(&inner.attrs) {
                continue;
            }
            let child = child(modules, folder, below, at, inner)?;
            modules[at].children.insert(inner.ident.to_string(), child);
        } else {
            Reader(&mut modules[at]).visit_item(item);
        }
    }
    Ok(())
}

fn child(
    modules: &mut Vec<Module>,
    folder: &Path,
    below: &Path,
    at: usize,
    inner: &ItemMod,
) -> Result<usize> {
    let name = inner.ident.to_string();
    if let Some((_, items)) = &inner.content {
        let file = modules[at].file.clone();
        let child = enter(modules, &file, at);
        fill(modules, folder, &below.join(&name), child, items)?;
        return Ok(child);
    }
    let beside = modules[at].file.parent().unwrap_or(Path::new(""));
    let files = match given(&inner.attrs) {
        Some(path) => vec![beside.join(path)],
        None => vec![below.join(format!("{name}.rs")), below.join(&name).join("mod.rs")],
    };
    match files.iter().find(|file| folder.join(file).exists()) {
        Some(file) => load(modules, folder, file, at),
        None => bail!("{}: no file for `mod {name}`", modules[at].file.display()),
    }
}

/// The file that `#[path = ".."]` names.
fn given(attrs: &[Attribute]) -> Option<String> {
    attrs.iter().find_map(|attr| match &attr.meta {
        syn::Meta::NameValue(pair) if attr.path().is_ident("path") => match &pair.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }) => Some(path.value()),
            _ => None,
        },
        _ => None,
    })
}

/// Whether something is there under test, fuzzing or loom only.
pub fn is_left_out(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|attr| {
        let words = match &attr.meta {
            syn::Meta::List(list) if attr.path().is_ident("cfg") => list.tokens.to_string(),
            _ => return attr.path().is_ident("test"),
        };
        let one = ["test", "fuzzing", "loom"].iter().any(|word| words.contains(word));
        one && !words.contains("not")
    })
}

/// Collects what a module names.
struct Reader<'m>(&'m mut Module);

impl Reader<'_> {
    fn uses(&mut self, tree: &UseTree, before: &[String]) {
        let with = |name: &syn::Ident| {
            let mut path = before.to_vec();
            path.push(name.to_string());
            path
        };
        match tree {
            UseTree::Path(path) => self.uses(&path.tree, &with(&path.ident)),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.uses(tree, before)),
            UseTree::Glob(_) => self.0.globs.push(before.to_vec()),
            UseTree::Name(name) if name.ident == "self" => {
                let last = before.last().cloned().unwrap_or_default();
                self.0.names.insert(last, before.to_vec());
            }
            UseTree::Name(name) => {
                self.0.names.insert(name.ident.to_string(), with(&name.ident));
            }
            UseTree::Rename(name) if name.ident == "self" => {
                self.0.names.insert(name.rename.to_string(), before.to_vec());
            }
            UseTree::Rename(name) => {
                self.0.names.insert(name.rename.to_string(), with(&name.ident));
            }
        }
    }

    /// Paths among the tokens of a macro.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 2;
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons < 2 {
                        self.end(&mut path);
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' && !path.is_empty() => colons += 1,
                other => {
                    self.end(&mut path);
                    colons = 2;
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.end(&mut path);
    }

    fn end(&mut self, path: &mut Vec<String>) {
        let path = std::mem::take(path);
        if path.len() > 1 {
            self.0.paths.insert(path);
        }
    }
}

impl<'a> Visit<'a> for Reader<'_> {
    fn visit_item(&mut self, item: &'a Item) {
        let attrs = match item {
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_left_out(attrs) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        if !is_left_out(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'a ItemUse) {
        self.uses(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let mut names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.end(&mut names);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'a Macro) {
        self.tokens(mac.tokens.clone());
        visit::visit_macro(self, mac);
    }
}

/// Where a path leads that stands in module `at`; `None` out of the crate.
fn resolve(modules: &[Module], at: usize, path: &[String], left: usize) -> Option<Place> {
    let (first, rest) = path.split_first()?;
    let start = match first.as_str() {
        "crate" => Place::Module(0),
        "self" => Place::Module(at),
        "super" => Place::Module(modules[at].parent),
        name => lookup(modules, at, name, path, left)?,
    };
    rest.iter().try_fold(start, |place, name| match place {
        Place::Module(module) if name == "super" => Some(Place::Module(modules[module].parent)),
        Place::Module(module) => {
            lookup(modules, module, name, path, left).or(Some(Place::In(module)))
        }
        defined => Some(defined),
    })
}

/// What a name stands for in a module, where it does not define it itself. `from` is the path
/// that is looked up, which does not stand for itself.
fn lookup(
    modules: &[Module],
    at: usize,
    name: &str,
    from: &[String],
    left: usize,
) -> Option<Place> {
    let left = left.checked_sub(1)?;
    let module = &modules[at];
    if let Some(&child) = module.children.get(name) {
        return Some(Place::Module(child));
    }
    if let Some(path) = module.names.get(name).filter(|path| *path != from) {
        return resolve(modules, at, path, left);
    }
    module.globs.iter().find_map(|path| match resolve(modules, at, path, left)? {
        Place::Module(whole) if whole != at => lookup(modules, whole, name, from, left),
        _ => None,
    })
}
