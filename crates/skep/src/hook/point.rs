//! The hook itself: made by its author, run by the application, its program exchanged by whoever
//! operates it.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skep_abi::hook::{MOST_HELPERS, Shape};
use skep_abi::{HookRow, PacketAccess};
use skep_btf::Btf;
use skep_load::{Map, MapOrigin, Object};
use skep_sys::Kernel;
use skep_vm::hooks::{HookPoint, Occasion, PointFailure};
use skep_vm::{HookDef, HookFunction, Vm};

use super::describe::Described;
use super::error::HookError;
use super::helper::{Helper, Lending, Parameter};
use super::member::HookContext;
use super::version::{Loading, Version};

/// What counts where no program decides: the author of a hook says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdicts {
    /// Where no program is installed.
    pub without: i32,
    /// Where the program fails: it trapped, a helper panicked, its budget ran out. What lets
    /// events pass then fails open, what does not fails closed.
    pub failed: i32,
}

/// Whether a run of a hook may be started inside of a run of the same hook, of the same thread:
/// by a helper, that is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Nesting {
    /// No: the inner one counts as failed.
    #[default]
    Refused,
    /// Yes, as deeply as runs of a kernel may nest ([`skep_vm::MOST_NESTED`]).
    Allowed,
}

/// Who decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decider {
    /// The program.
    Program,
    /// [`Verdicts::without`].
    Nobody,
    /// [`Verdicts::failed`], and why.
    Failure(PointFailure),
}

/// What a run came to.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use = "an event is not decided by asking"]
pub struct Decision {
    /// What counts.
    pub value: i32,
    /// Who says so.
    pub by: Decider,
}

/// What a hook did so far, beside what its programs count ([`Version::counts`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HookCounts {
    /// Runs that no program was there for.
    pub without: u64,
    /// Runs that failed, for whichever reason.
    pub failed: u64,
    /// Programs that were installed, the first one among them.
    pub installed: u64,
    /// Programs that were refused: by the verifier, or as unlike.
    pub refused: u64,
}

#[derive(Default)]
struct Counters {
    without: AtomicU64,
    failed: AtomicU64,
    installed: AtomicU64,
    refused: AtomicU64,
}

/// An extension point of an application, whose programs get a `C`.
///
/// It may be used from any thread. Runs are made at the same time, each on a vCPU of the hook's
/// kernel: who calls from more threads than there are waits for one. A helper that waits keeps
/// its vCPU.
pub struct Hook<C> {
    point: HookPoint,
    kernel: Arc<dyn Kernel>,
    row: Arc<HookRow>,
    types: Arc<Btf>,
    header: String,
    verdicts: Verdicts,
    counters: Counters,
    /// The version that is installed; locked for as long as one is exchanged.
    installed: Mutex<Option<Arc<Version>>>,
    contexts: PhantomData<fn(&mut C)>,
}

/// What a hook is made of.
pub struct HookBuilder<C> {
    name: String,
    verdicts: Verdicts,
    returns: Option<(i32, i32)>,
    data: PacketAccess,
    nesting: Nesting,
    budget: Option<u64>,
    kernel: Option<Vm>,
    helpers: Vec<HelperRow>,
    contexts: PhantomData<fn(&mut C)>,
}

struct HelperRow {
    name: &'static str,
    protos: &'static [skep_abi::Proto],
    parameters: Vec<Parameter>,
    function: HookFunction,
}

impl<C: HookContext> HookBuilder<C> {
    /// Programs return at least and at most these; the verifier sees to it. Anything unless
    /// said.
    pub fn returns(mut self, least: i32, most: i32) -> Self {
        self.returns = Some((least, most));
        self
    }

    /// Programs may change the bytes that come with an event, too.
    pub fn data_may_be_written(mut self) -> Self {
        self.data = PacketAccess::Write;
        self
    }

    /// Programs may call `function` by this name. What it takes and gives is its type
    /// ([`Argument`](super::Argument), [`Answer`](super::Answer)). When it panics, the run is a
    /// failure.
    pub fn helper<M: 'static>(mut self, name: &'static str, function: impl Helper<M>) -> Self {
        fn row<M: 'static, F: Helper<M>>(name: &'static str, function: F) -> HelperRow {
            HelperRow {
                name,
                protos: F::PROTOS,
                parameters: F::PARAMETERS.concat(),
                function: Box::new(move |call| function.call(call)),
            }
        }
        self.helpers.push(row(name, function));
        self
    }

    /// Bounds the instructions of a run, counted at calls and backward jumps: one that goes
    /// beyond fails. Every verified program ends, but may take its time before.
    pub fn budget(mut self, instructions: u64) -> Self {
        self.budget = Some(instructions);
        self
    }

    /// Whether runs may nest.
    pub fn nesting(mut self, nesting: Nesting) -> Self {
        self.nesting = nesting;
        self
    }

    /// Makes the hook in this kernel, with its vCPUs, clock, ids and engine; in one of its own
    /// unless said.
    pub fn kernel(mut self, kernel: &Vm) -> Self {
        self.kernel = Some(kernel.process(kernel_rights()));
        self
    }

    /// Makes the hook.
    ///
    /// # Errors
    /// What of its description does not fit together.
    pub fn build(self) -> Result<Hook<C>, HookError> {
        check_name(&self.name)?;
        self.check_range()?;
        self.check_helpers()?;
        let mut helpers = Vec::new();
        let (mut parameters, mut functions) = (Vec::new(), Vec::new());
        for (index, helper) in self.helpers.into_iter().enumerate() {
            let words = helper.protos.first().map_or(0, |proto| proto.args.len() as u32);
            let changes =
                |of: &Parameter| matches!(of, Parameter::Pointer(Lending::Context(_), true));
            let changes_context = helper.parameters.iter().any(changes);
            let number = Shape { words, changes_context }.number(index);
            helpers.push(skep_abi::Helper::of_hook(number, helper.name, helper.protos));
            parameters.push(helper.parameters);
            functions.push(helper.function);
        }
        let row = HookRow {
            name: self.name,
            context: C::ROW,
            packet: self.data,
            returns: self.returns,
            helpers,
        };
        let described = Described { row: &row, fields: C::FIELDS, parameters: &parameters };
        let (types, header) = (described.btf()?, described.header());
        let def = HookDef::new(row, functions).ok_or(HookError::Definition)?;
        let def = Arc::new(if self.budget.is_some() { def.counting() } else { def });
        let kernel = self.kernel.unwrap_or_default();
        if !kernel.verifies() {
            return Err(HookError::Unverified);
        }
        let vm = kernel.for_hook(&def);
        let vm = Arc::new(match self.budget {
            Some(budget) => vm.with_budget(budget),
            None => vm,
        });
        let nests = self.nesting == Nesting::Allowed;
        let point = HookPoint::new(&vm, nests).ok_or(HookError::Unverified)?;
        Ok(Hook {
            point,
            kernel: vm,
            row: Arc::clone(def.row()),
            types,
            header,
            verdicts: self.verdicts,
            counters: Counters::default(),
            installed: Mutex::default(),
            contexts: PhantomData,
        })
    }

    fn check_range(&self) -> Result<(), HookError> {
        let Some((least, most)) = self.returns else { return Ok(()) };
        let range = least..=most;
        let mut values = [self.verdicts.without, self.verdicts.failed, least].into_iter();
        match values.find(|value| !range.contains(value)) {
            Some(value) => Err(HookError::Range { least, most, value }),
            None => Ok(()),
        }
    }

    fn check_helpers(&self) -> Result<(), HookError> {
        if self.helpers.len() > MOST_HELPERS {
            return Err(HookError::TooManyHelpers(MOST_HELPERS));
        }
        for (index, helper) in self.helpers.iter().enumerate() {
            let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
            let named = helper.name.starts_with(is_letter)
                && helper.name.chars().all(|c| is_letter(c) || c.is_ascii_digit());
            let twice = self.helpers[..index].iter().any(|other| other.name == helper.name);
            if !named || twice {
                return Err(HookError::HelperName(helper.name.to_owned()));
            }
            let other = helper.parameters.iter().find_map(|parameter| match parameter {
                Parameter::Pointer(Lending::Context(row), _) if *row != C::ROW => Some(row.name),
                _ => None,
            });
            if let Some(takes) = other {
                let (helper, context) = (helper.name, C::ROW.name);
                return Err(HookError::OtherContext { helper, takes, context });
            }
        }
        Ok(())
    }
}

/// What the kernel of a hook lets its programs' loader do.
fn kernel_rights() -> skep_abi::Capabilities {
    skep_abi::Capabilities::BPF
}

fn check_name(name: &str) -> Result<(), HookError> {
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    match !name.is_empty() && name.len() <= 64 && name.chars().all(letter) {
        true => Ok(()),
        false => Err(HookError::Name(name.to_owned())),
    }
}

/// An event on its way through a run.
struct Event<'e, C> {
    context: &'e mut C,
    data: Data<'e>,
}

enum Data<'e> {
    None,
    Read(&'e [u8]),
    Written(&'e mut [u8]),
}

impl<C: HookContext> Occasion for Event<'_, C> {
    #[inline]
    fn fill(&self, fields: &mut [u8]) {
        self.context.put(fields);
    }

    #[inline]
    fn data(&self) -> &[u8] {
        match &self.data {
            Data::None => &[],
            Data::Read(data) => data,
            Data::Written(data) => data,
        }
    }

    #[inline]
    fn take(&mut self, fields: &[u8], data: &[u8]) {
        *self.context = C::take(fields);
        if let Data::Written(place) = &mut self.data {
            let len = place.len().min(data.len());
            place[..len].copy_from_slice(&data[..len]);
        }
    }
}

impl<C: HookContext> Hook<C> {
    /// A hook for programs in `SEC("hook/NAME")`, with what counts where no program decides.
    pub fn builder(name: &str, verdicts: Verdicts) -> HookBuilder<C> {
        HookBuilder {
            name: name.to_owned(),
            verdicts,
            returns: None,
            data: PacketAccess::Read,
            nesting: Nesting::default(),
            budget: None,
            kernel: None,
            helpers: Vec::new(),
            contexts: PhantomData,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.row.name
    }

    /// What programs get and may call, as a header of C.
    pub fn header(&self) -> &str {
        &self.header
    }

    /// The same as BTF: what programs are relocated against.
    pub fn types(&self) -> &Arc<Btf> {
        &self.types
    }

    /// What the verifier goes by.
    pub fn row(&self) -> &Arc<HookRow> {
        &self.row
    }

    /// What it did so far.
    pub fn counts(&self) -> HookCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        HookCounts {
            without: of(&self.counters.without),
            failed: of(&self.counters.failed),
            installed: of(&self.counters.installed),
            refused: of(&self.counters.refused),
        }
    }

    /// Verifies the object's program for this hook, with maps of its own. It runs where
    /// somebody [asks for it](Hook::run_version), or [installs](Hook::install) it.
    ///
    /// # Errors
    /// There is none, or it is refused: the error has the verifier's log.
    pub fn load(&self, object: &Object) -> Result<Arc<Version>, HookError> {
        self.counted(self.load_with(object, None, Vec::new()))
    }

    /// The same, of an object with several programs in the hook's section: the one of this name
    /// is the one that runs.
    ///
    /// # Errors
    /// As for [`Hook::load`].
    pub fn load_named(&self, object: &Object, name: &str) -> Result<Arc<Version>, HookError> {
        self.counted(self.load_with(object, Some(name), Vec::new()))
    }

    fn load_with(
        &self,
        object: &Object,
        name: Option<&str>,
        reuse: Vec<Map>,
    ) -> Result<Arc<Version>, HookError> {
        let loading = Loading { kernel: &self.kernel, row: &self.row, types: &self.types, reuse };
        let (skep, runs) = loading.load(object, name)?;
        let fd = skep.program(&runs).map(|program| program.fd().raw()).unwrap_or(-1);
        let ready = self.point.program(fd)?;
        Ok(Arc::new(Loading::version(ready, (skep, runs))))
    }

    fn counted<R>(&self, result: Result<R, HookError>) -> Result<R, HookError> {
        if result.is_err() {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    /// Has this program decide all events from now on; gives the one before. Events that are
    /// under way are decided by that one.
    ///
    /// # Errors
    /// It was verified for another hook: the one before stays.
    pub fn install(&self, version: &Arc<Version>) -> Result<Option<Arc<Version>>, HookError> {
        let mut installed = self.installed();
        self.counted(self.exchange(&mut installed, Some(version)))
    }

    /// Has no program decide.
    pub fn uninstall(&self) -> Option<Arc<Version>> {
        let mut installed = self.installed();
        self.exchange(&mut installed, None).ok().flatten()
    }

    fn exchange(
        &self,
        installed: &mut Option<Arc<Version>>,
        version: Option<&Arc<Version>>,
    ) -> Result<Option<Arc<Version>>, HookError> {
        self.point.exchange(version.map(|version| Arc::clone(&version.ready)))?;
        self.counters.installed.fetch_add(u64::from(version.is_some()), Ordering::Relaxed);
        Ok(std::mem::replace(installed, version.cloned()))
    }

    /// Replaces the program by the object's, under load: the new one is verified for the same
    /// hook and goes on with the maps that both have by the same name, which must be defined
    /// the same; then it decides from the next event on. Where anything of it does not fit, the
    /// one before stays, and nothing has changed.
    ///
    /// Variables start anew.
    ///
    /// # Errors
    /// Why it was not replaced.
    pub fn replace(&self, object: &Object) -> Result<Arc<Version>, HookError> {
        // Held meanwhile: two that replace do so one after the other.
        let mut installed = self.installed();
        let mut replaced = || {
            let kept = |map: &&Map| matches!(map.def().origin, MapOrigin::Btf | MapOrigin::Legacy);
            let before = installed.as_ref();
            let reuse = before.map(|before| before.skep().maps().filter(kept).cloned().collect());
            let version = self.load_with(object, None, reuse.unwrap_or_default())?;
            self.exchange(&mut installed, Some(&version))?;
            Ok(version)
        };
        self.counted(replaced())
    }

    /// The version that decides.
    pub fn version(&self) -> Option<Arc<Version>> {
        self.installed().clone()
    }

    fn installed(&self) -> MutexGuard<'_, Option<Arc<Version>>> {
        // It is written in one step.
        self.installed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides an event. The program may have changed those fields of the context that it may
    /// write; where it fails, nothing has changed.
    #[inline]
    pub fn run(&self, context: &mut C) -> Decision {
        self.decide(&mut Event { context, data: Data::None })
    }

    /// The same for an event with bytes, which [`DataStart`](super::DataStart) and
    /// [`DataEnd`](super::DataEnd) lead to. The program gets a copy of them.
    #[inline]
    pub fn run_on(&self, context: &mut C, data: &[u8]) -> Decision {
        self.decide(&mut Event { context, data: Data::Read(data) })
    }

    /// The same where programs may change the bytes.
    #[inline]
    pub fn run_on_mut(&self, context: &mut C, data: &mut [u8]) -> Decision {
        self.decide(&mut Event { context, data: Data::Written(data) })
    }

    #[inline]
    fn decide(&self, event: &mut Event<'_, C>) -> Decision {
        match self.point.run(event) {
            Ok(Some(r0)) => Decision { value: r0 as i32, by: Decider::Program },
            Ok(None) => self.without(),
            Err(why) => self.failed(why),
        }
    }

    /// Has a version of this hook decide, whichever is installed.
    pub fn run_version(&self, version: &Version, context: &mut C) -> Decision {
        let mut event = Event { context, data: Data::None };
        match self.point.run_program(&version.ready, &mut event) {
            Ok(r0) => Decision { value: r0 as i32, by: Decider::Program },
            Err(why) => self.failed(why),
        }
    }

    #[cold]
    fn without(&self) -> Decision {
        self.counters.without.fetch_add(1, Ordering::Relaxed);
        Decision { value: self.verdicts.without, by: Decider::Nobody }
    }

    #[cold]
    fn failed(&self, why: PointFailure) -> Decision {
        self.counters.failed.fetch_add(1, Ordering::Relaxed);
        Decision { value: self.verdicts.failed, by: Decider::Failure(why) }
    }
}
