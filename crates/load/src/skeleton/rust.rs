//! Skeletons in Rust: a module over the library `skep`.

use std::fmt::Write as _;

use skep_abi::MapType;
use skep_btf::BtfError;

use super::names::{self, Taken};
use super::types::{Spelt, Types};
use super::{Section, literal, section};
use crate::object::{MapDef, Object};

/// In front of what a program may leave unused.
const ALLOW: &str = "#[allow(dead_code, missing_docs, non_snake_case)]\n";

/// Names that generated types must not take.
const TAKEN: [&str; 24] = [
    "u8", "u16", "u32", "u64", "u128", "i8", "i16", "i32", "i64", "i128", "f32", "f64", "bool",
    "str", "char", "usize", "Option", "Result", "Box", "Vec", "Ok", "Err", "OBJECT", "skep",
];

/// Names of what is generated.
struct Named {
    /// `SynGuard`.
    live: String,
    open: String,
    maps: String,
    programs: String,
    variables: String,
}

impl Named {
    fn of(name: &str, taken: &mut Taken) -> Named {
        let live = taken.take(names::camel(name));
        let mut take = |name: String| taken.take(name);
        Named {
            open: take(format!("Open{live}")),
            maps: take(format!("{live}Maps")),
            programs: take(format!("{live}Programs")),
            variables: take(format!("{live}Variables")),
            live,
        }
    }
}

/// A module with typed handles for all that `object` has, whose file was `bytes`: to be opened,
/// edited, loaded into either kernel, and attached. It needs the crate `skep` and nothing else.
///
/// # Errors
/// The object's types are broken.
pub fn rust(object: &Object, bytes: &[u8], name: &str) -> Result<String, BtfError> {
    let mut taken = Taken::with(&TAKEN);
    let named = Named::of(name, &mut taken);
    let sections: Vec<(String, Section<'_>)> = object
        .maps
        .iter()
        .filter_map(|map| section(object, map))
        .map(|section| (taken.take(names::camel(section.name)), section))
        .collect();
    let empty;
    let btf = match &object.btf {
        Some(btf) => btf,
        None => {
            empty = skep_btf::Builder::new().build()?;
            &empty
        }
    };
    let mut types = Types::new(btf, taken);
    for (name, section) in &sections {
        types.section(name, section)?;
    }
    let maps = maps(object, &named, &mut types)?;
    let variables = variables(&sections, &named, &mut types)?;
    let mut text = format!(
        "// Made by `skep gen skeleton` of {:?}: make it anew, do not edit it.\n\n",
        object.file
    );
    open(&mut text, &named, name, &sections);
    live(&mut text, &named, &sections);
    text.push_str(&maps);
    programs(&mut text, object, &named);
    text.push_str(&variables);
    text.push_str(&types.text);
    let _ =
        write!(text, "/// The object file.\nconst OBJECT: &[u8] = b{};\n", literal::bytes(bytes));
    Ok(text)
}

fn open(text: &mut String, named: &Named, name: &str, sections: &[(String, Section<'_>)]) {
    let Named { live, open, .. } = named;
    let given = || sections.iter().filter(|(_, section)| section.is_given);
    let field = |section: &Section<'_>| names::rust(section.name.trim_start_matches('.'));
    let _ = write!(
        text,
        "/// The object, before it is loaded: its variables' first values, and all else by\n\
         /// `object`.\n{ALLOW}pub struct {open} {{\n    pub object: skep::Object,\n"
    );
    for (name, section) in given() {
        let _ = writeln!(text, "    pub {}: Box<{name}>,", field(section));
    }
    let _ = write!(
        text,
        "}}\n\n{ALLOW}impl {open} {{\n    \
         /// Reads the object.\n    ///\n    /// # Errors\n    /// This version of skep does not take it.\n    \
         pub fn new() -> Result<{open}, skep::Error> {{\n        \
         let object = skep::Object::parse({:?}, OBJECT)?;\n        Ok({open} {{\n",
        format!("{}.o", names::plain(name)),
    );
    for (_, section) in given() {
        let _ =
            writeln!(text, "            {}: object.section({:?})?,", field(section), section.name);
    }
    let _ = write!(
        text,
        "            object,\n        }})\n    }}\n\n    \
         /// Loads it into a kernel.\n    ///\n    /// # Errors\n    /// What does not resolve, or what the kernel refuses.\n    \
         pub fn load(\n        {}self,\n        kernel: &::std::sync::Arc<dyn skep::Kernel>,\n    \
         ) -> Result<{live}, skep::Error> {{\n",
        if given().next().is_some() { "mut " } else { "" },
    );
    for (_, section) in given() {
        let _ = writeln!(
            text,
            "        self.object.set_section({:?}, &*self.{})?;",
            section.name,
            field(section)
        );
    }
    let _ =
        write!(text, "        Ok({live} {{ skep: self.object.load(kernel)? }})\n    }}\n}}\n\n");
}

fn live(text: &mut String, named: &Named, sections: &[(String, Section<'_>)]) {
    let Named { live, open, maps, programs, variables } = named;
    let _ = write!(
        text,
        "/// The loaded object.\n{ALLOW}pub struct {live} {{\n    skep: skep::Skep,\n}}\n\n\
         {ALLOW}impl {live} {{\n    \
         /// Reads the object.\n    ///\n    /// # Errors\n    /// This version of skep does not take it.\n    \
         pub fn open() -> Result<{open}, skep::Error> {{\n        {open}::new()\n    }}\n\n    \
         /// All of it, by names.\n    pub fn skep(&self) -> &skep::Skep {{\n        &self.skep\n    }}\n\n    \
         /// Its maps.\n    pub fn maps(&self) -> {maps}<'_> {{\n        {maps}(&self.skep)\n    }}\n\n    \
         /// Its programs.\n    pub fn programs(&self) -> {programs}<'_> {{\n        {programs}(&self.skep)\n    }}\n\n    \
         /// Its variables, one by one.\n    pub fn variables(&self) -> {variables}<'_> {{\n        {variables}(&self.skep)\n    }}\n\n    \
         /// Puts its programs at the places that their sections name; those that name none\n    \
         /// stay where they are. Dropping a link detaches.\n    ///\n    /// # Errors\n    /// A place that is not there, or that the kernel refuses.\n    \
         #[cfg(target_os = \"linux\")]\n    \
         pub fn attach(\n        &self,\n        places: &skep::load::attach::auto::Places,\n    \
         ) -> Result<Vec<skep::load::attach::Link>, skep::Error> {{\n        \
         Ok(skep::load::skeleton::attach(&self.skep, places)?)\n    }}\n",
    );
    for (name, section) in sections {
        let _ = write!(
            text,
            "\n    /// The variables of `{of}` as they are now.\n    ///\n    /// # Errors\n    /// The kernel refuses.\n    \
             pub fn {field}(&self) -> Result<Box<{name}>, skep::AccessError> {{\n        \
             self.skep.section({of:?})\n    }}\n",
            field = section_method(section.name),
            of = section.name,
        );
    }
    text.push_str("}\n\n");
}

/// The method for a section; `.maps` and the like are taken.
fn section_method(name: &str) -> String {
    let plain = names::rust(name.trim_start_matches('.'));
    match plain.as_str() {
        "open" | "skep" | "maps" | "programs" | "variables" | "attach" => format!("{plain}_"),
        _ => plain,
    }
}

/// The key and value of a map that are plain data; `None` for what only the kernel reads.
fn elements(types: &mut Types<'_>, map: &MapDef) -> Result<Option<(String, String)>, BtfError> {
    let row = map.kind().map(MapType::row);
    let is_plain = row.is_some_and(|row| !row.of_maps)
        && !matches!(
            map.kind(),
            Some(
                MapType::ProgArray
                    | MapType::PerfEventArray
                    | MapType::Arena
                    | MapType::StructOps
                    | MapType::UserRingbuf
            )
        );
    if !is_plain || map.key_size == 0 || map.value_size == 0 {
        return Ok(None);
    }
    let mut of = |id: u32, size: u32, part: &str| -> Result<String, BtfError> {
        let plain = match size {
            4 => "u32".to_owned(),
            size => Spelt::bytes(size.into()).name,
        };
        if id == 0 {
            return Ok(plain);
        }
        let spelt = types.spell(id, &format!("{}_{part}", map.name))?;
        Ok(if spelt.size == u64::from(size) { spelt.name } else { plain })
    };
    let key = of(map.key_type_id, map.key_size, "key")?;
    let value = of(map.value_type_id, map.value_size, "value")?;
    let per_cpu = row.is_some_and(|row| row.percpu);
    let value = if per_cpu { format!("skep::PerCpu<{value}>") } else { value };
    Ok(Some((key, value)))
}

fn maps(object: &Object, named: &Named, types: &mut Types<'_>) -> Result<String, BtfError> {
    let maps = &named.maps;
    let mut text = format!(
        "/// Maps of the loaded object.\n{ALLOW}pub struct {maps}<'s>(&'s skep::Skep);\n\n\
         {ALLOW}impl<'s> {maps}<'s> {{\n"
    );
    let mut taken = Taken::default();
    for map in &object.maps {
        // Sections of variables have structures of their own.
        if map.origin.section().is_some() {
            continue;
        }
        let method = taken.take(names::rust(&map.name));
        let name = &map.name;
        let (gives, how) = match (map.kind(), elements(types, map)?) {
            (Some(MapType::Ringbuf), _) => {
                ("skep::RingBuffer".to_owned(), format!("self.0.ring_buffer({name:?})"))
            }
            (_, Some((key, value))) => {
                (format!("skep::Map<{key}, {value}>"), format!("self.0.typed({name:?})"))
            }
            (_, None) => ("&'s skep::Map".to_owned(), format!("self.0.named_map({name:?})")),
        };
        let _ = write!(
            text,
            "    /// Map `{name}`.\n    ///\n    /// # Errors\n    /// It was not created, or is another one than the object had.\n    \
             pub fn {method}(&self) -> Result<{gives}, skep::AccessError> {{\n        {how}\n    }}\n\n"
        );
    }
    text.push_str("}\n\n");
    Ok(text)
}

fn programs(text: &mut String, object: &Object, named: &Named) {
    let programs = &named.programs;
    let _ = write!(
        text,
        "/// Programs of the loaded object.\n{ALLOW}pub struct {programs}<'s>(&'s skep::Skep);\n\n\
         {ALLOW}impl<'s> {programs}<'s> {{\n"
    );
    let mut taken = Taken::default();
    for program in &object.programs {
        let _ = write!(
            text,
            "    /// Program `{name}`, of section `{section}`.\n    ///\n    /// # Errors\n    /// It was not loaded.\n    \
             pub fn {method}(&self) -> Result<&'s skep::Program, skep::AccessError> {{\n        \
             self.0.named_program({name:?})\n    }}\n\n",
            name = program.name,
            section = program.section.escape_default(),
            method = taken.take(names::rust(&program.name)),
        );
    }
    text.push_str("}\n\n");
}

fn variables(
    sections: &[(String, Section<'_>)],
    named: &Named,
    types: &mut Types<'_>,
) -> Result<String, BtfError> {
    let variables = &named.variables;
    let mut text = format!(
        "/// Variables of the loaded object, which programs may be changing.\n\
         {ALLOW}pub struct {variables}<'s>(&'s skep::Skep);\n\n{ALLOW}impl<'s> {variables}<'s> {{\n"
    );
    let mut taken = Taken::default();
    for (name, section) in sections {
        for var in &section.vars {
            // Of two static variables of a name, neither can be meant.
            let is_one = section.vars.iter().filter(|of| of.name == var.name).count() == 1;
            let spelt = types.spell(var.type_id, &format!("{name}_{}", var.name))?;
            if !is_one || spelt.size != u64::from(var.at.size) {
                continue;
            }
            let _ = write!(
                text,
                "    /// Variable `{var}` of `{of}`.\n    ///\n    /// # Errors\n    /// The section was not created.\n    \
                 pub fn {method}(&self) -> Result<skep::Global<{spelt}>, skep::AccessError> {{\n        \
                 self.0.variable({path:?})\n    }}\n\n",
                var = var.name,
                of = section.name,
                method = taken.take(names::rust(var.name)),
                spelt = spelt.name,
                path = format!("{}:{}", section.name, var.name),
            );
        }
    }
    text.push_str("}\n\n");
    Ok(text)
}
