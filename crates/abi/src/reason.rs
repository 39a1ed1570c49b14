//! Why a program is refused: one row for each line that Linux's verifier ends with.
//! `Display` is that line, word for word, because people search for it; the data
//! is there for explanations. Counterpart: the `verbose()` calls of
//! `kernel/bpf/verifier.c` in Linux 6.18.

use std::fmt;

macro_rules! reasons {
    ($($name:ident $({ $($field:ident : $type:ty),* $(,)? })? $text:literal;)*) => {
        /// Why a program is refused.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each is the line that it prints")]
        pub enum Reason {
            $(#[doc = concat!("`", $text, "`")] $name $({ $($field: $type),* })?,)*
        }

        impl Reason {
            /// The row's name, for counting.
            pub fn name(&self) -> &'static str {
                match self { $(Reason::$name { .. } => stringify!($name),)* }
            }
        }

        impl fmt::Display for Reason {
            #[allow(unused_variables, reason = "Linux does not print all that is known")]
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Reason::$name $({ $($field),* })? => write!(f, $text),)*
                }
            }
        }
    };
}

reasons! {
    // Linux says nothing.
    Silent "";

    // Before any instruction is followed.
    CallToInvalidDestination "call to invalid destination";
    TooManySubprograms "too many subprograms";
    CallsNeedCapBpf "loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN";
    JumpOutOfRange { from: u32, to: i64 } "jump out of range from insn {from} to {to}";
    LastInsn "last insn is not an exit or jmp";
    LdxReserved "BPF_LDX uses reserved fields";
    InvalidLdImm64 "invalid bpf_ld_imm64 insn";
    UnrecognizedLdImm64 "unrecognized bpf_ld_imm64 insn";
    UnknownOpcode { code: u8 } "unknown opcode {code:02x}";
    NotAMap { fd: i32 } "fd {fd} is not pointing to valid bpf_map";
    FdArrayMissing "fd_idx without fd_array is invalid";
    TooManyMaps { limit: u32 } "The total number of maps per program has reached the limit of {limit}";
    DirectOffset { off: u32 } "direct value offset of {off} is not allowed";
    NoDirectValue "no direct value access support for this map type";
    DirectValueBounds { value_size: u32, off: u32 } "invalid access to map value pointer, value_size={value_size} off={off}";
    UnreachableInsn { pc: u32 } "unreachable insn {pc}";
    JumpIntoLdImm64 { pc: u32 } "jump into the middle of ldimm64 insn {pc}";
    BackEdge { from: u32, to: u32 } "back-edge from insn {from} to {to}";
    LdAbsWithoutBtf "LD_ABS is not allowed in subprogs without BTF";
    TailCallWithoutBtf "tail_call is not allowed in subprogs without BTF";
    LdAbsReturn "LD_ABS is only allowed in functions that return 'int'.";
    TailCallReturn "tail_call is only allowed in functions that return 'int'.";
    FuncInfoCount "number of funcs in func_info doesn't match number of subprogs";
    FuncInfoFirst { pc: u32 } "nonzero insn_off {pc} for the first func info record";
    FuncInfoOrder { pc: u32, previous: u32 } "same or smaller insn offset ({pc}) than previous func info record ({previous})";
    FuncInfoType { id: u32 } "invalid type id {id} in func info";
    FuncInfoLayout "func_info BTF section doesn't match subprog layout in BPF program";
    LineInfoOffset { index: u32, pc: u32, previous: u32, len: u32 } "Invalid line_info[{index}].insn_off:{pc} (prev_offset:{previous} prog->len:{len})";
    LineInfoCode { index: u32 } "Invalid insn code at line_info[{index}].insn_off";
    LineInfoStrings { index: u32 } "Invalid line_info[{index}].line_off or .file_name_off";
    LineInfoMissing { func: u32 } "missing bpf_line_info for func#{func}";
    LineInfoMissingFrom { count: u32, func: u32 } "missing bpf_line_info for {count} funcs starting from func#{func}";
    ExceptionCallbackTags "multiple exception callback tags for main subprog";
    ExceptionCallbackMissing { name: String } "exception callback '{name}' could not be found in BTF";
    ExceptionCallbackStatic { name: String } "exception callback '{name}' must have global linkage";
    ExceptionCallbackAtZero "invalid exception callback insn_off in func_info: 0";
    ExceptionCallbackNoInfo "exception callback type id not found in func_info";
    ExceptionCallbackArgument "exception cb only supports single integer argument";
    NonsleepableMap "Sleepable programs can only use array, hash, ringbuf and local storage maps";
    TracingGraphRoot "tracing progs cannot use bpf_{{list_head,rb_root}} yet";
    SocketFilterSpinLock "socket filter progs cannot use bpf_spin_lock yet";
    TracingSpinLock "tracing progs cannot use bpf_spin_lock yet";
    TracingTimer "tracing progs cannot use bpf_timer yet";
    TracingWorkqueue "tracing progs cannot use bpf_wq yet";
    StructOpsMap "bpf_struct_ops map cannot be used in prog";
    OneCgroupStorage "only one cgroup storage of each type is allowed";
    OneArena "Only one arena per program";
    ArenaCaps "CAP_BPF and CAP_PERFMON are required to use arena";
    ArenaAddress "arena's user address must be set via map_extra or mmap()";
    SleepableOnly "Syscall programs can only be sleepable";
    CannotSleep "Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable";
    AttachNeedsBtfId "Tracing programs must provide btf_id";
    AttachNoBtf "FENTRY/FEXIT program can only be attached to another program annotated with BTF";
    AttachTypeInvalid { id: u32 } "attach_btf_id {id} is invalid";
    AttachNotFunction { id: u32 } "attach_btf_id {id} is not a function";
    AttachNotTypedef { id: u32 } "attach_btf_id {id} is not a typedef";
    AttachWrongName { id: u32, name: String } "attach_btf_id {id} points to wrong type name {name}";
    AttachKernelFunction "Cannot replace kernel functions";
    AttachNotSleepable { name: String } "{name} is not sleepable";
    AttachNotModifiable { name: String } "{name}() is not modifiable";
    StructOpsGpl "struct ops programs must have a GPL compatible license";
    StructOpsUnknown { id: u32 } "attach_btf_id {id} is not a supported struct";
    StructOpsMember { index: u32, name: String } "attach to invalid member idx {index} of struct {name}";
    BtfIdInvalid { id: u32 } "ldimm64 insn specifies invalid btf_id {id}.";
    BtfIdKind { id: u32 } "pseudo btf_id {id} in ldimm64 isn't KIND_VAR or KIND_FUNC";
    BtfIdSymbol { name: String } "ldimm64 failed to find the address for kernel symbol '{name}'.";
    BtfIdSize { name: String } "ldimm64 unable to resolve the size of type '{name}': -22";
    BtfIdModule "invalid module BTF object FD specified.";
    NoKernelBtf "kernel is missing BTF, make sure CONFIG_DEBUG_INFO_BTF=y is specified in Kconfig.";
    KfuncsNeedBtf "calling kernel function is not supported without CONFIG_DEBUG_INFO_BTF";
    KfuncGpl "cannot call kernel function from non-GPL compatible program";
    KfuncNoBtf "failed to find BTF for kernel function";
    KfuncNotFunction { id: u32 } "kernel btf_id {id} is not a function";
    KfuncNoAddress { name: String } "cannot find address for kernel function {name}";
    TooManyKfuncs "too many different kernel function calls";
    ThrowInCallback { pc: u32, subprog: u32 } "bpf_throw kfunc (insn {pc}) cannot be called from callback subprog {subprog}";
    ExceptionCallbackCalled { pc: u32 } "insn {pc} cannot call exception cb directly";
    ExceptionTailCall "cannot tail call within exception cb";
    StackOfTailCalls { depth: i32 } "tail_calls are not allowed when call stack of previous frames is {depth} bytes. Too large";
    StackOfSubprog { subprog: u32, depth: i32 } "stack size of subprog {subprog} is {depth}. Too large";
    StackCombined { calls: u32, depth: i32 } "combined stack size of {calls} calls is {depth}. Too large";
    CallStackTooDeep { frames: u32 } "the call stack of {frames} frames is too deep !";
    KfuncNotEliminated "invalid kernel function call not eliminated in verifier pass";

    // Limits.
    TooLarge { processed: u32 } "BPF program is too large. Processed {processed} insn";
    TooMuchMemory { mib: u32 } "the states of the program take more than {mib} MiB";
    TooManyJumps { jumps: u32 } "The sequence of {jumps} jumps is too complex.";
    TooManyJumpsAsync { jumps: u32 } "The sequence of {jumps} jumps is too complex for async cb.";
    InfiniteLoop { pc: u32 } "infinite loop detected at insn {pc}";
    FramesTooDeep { frames: u32 } "the call stack of {frames} frames is too deep";
    InvalidInsnIdx { pc: u32, count: u32 } "invalid insn idx {pc} insn_cnt {count}";
    InternalError { what: String } "verifier bug: {what}";

    // Instructions that are none.
    RegisterInvalid { reg: u8 } "R{reg} is invalid";
    NegReserved "BPF_NEG uses reserved fields";
    EndReserved "BPF_END uses reserved fields";
    MovReserved "BPF_MOV uses reserved fields";
    AluReserved "BPF_ALU uses reserved fields";
    AluOpcode { op: u8 } "invalid BPF_ALU opcode {op:x}";
    StxReserved "BPF_STX uses reserved fields";
    StReserved "BPF_ST uses reserved fields";
    CallReserved "BPF_CALL uses reserved fields";
    JaReserved "BPF_JA uses reserved fields";
    ExitReserved "BPF_EXIT uses reserved fields";
    JmpReserved "BPF_JMP/JMP32 uses reserved fields";
    JmpOpcode { op: u8 } "invalid BPF_JMP/JMP32 opcode {op:x}";
    MayGoto { imm: i32 } "invalid may_goto imm {imm}";
    LdImmReserved "BPF_LD_IMM64 uses reserved fields";
    LdImmInsn "invalid BPF_LD_IMM insn";
    LdAbsReserved "BPF_LD_[ABS|IND] uses reserved fields";
    LdMode "invalid BPF_LD mode";
    AtomicOpcode { imm: i32 } "BPF_ATOMIC uses invalid atomic opcode {imm:02x}";
    AtomicSize "invalid atomic operand size";
    AddrSpaceCast "addr_space_cast insn can only convert between address space 1 and 0";
    AddrSpaceCastArena "addr_space_cast insn can only be used in a program that has an associated arena";

    // Registers and arithmetic.
    NotReadable { reg: u8 } "R{reg} !read_ok";
    FramePointer "frame pointer is read only";
    DivByZero "div by zero";
    InvalidShift { imm: i32 } "invalid shift {imm}";
    PointerArithmetic { reg: u8 } "R{reg} pointer arithmetic prohibited";
    PartialCopy { reg: u8 } "R{reg} partial copy of pointer";
    SignExtendPointer { reg: u8 } "R{reg} sign-extension part of pointer";
    PointerWithPointer { reg: u8, op: &'static str } "R{reg} pointer {op} pointer prohibited";
    Arithmetic32 { reg: u8 } "R{reg} 32-bit pointer arithmetic prohibited";
    ArithmeticOnNullable { reg: u8, kind: String } "R{reg} pointer arithmetic on {kind} prohibited, null-check it first";
    ArithmeticOn { reg: u8, kind: String } "R{reg} pointer arithmetic on {kind} prohibited";
    SubtractFromScalar { reg: u8 } "R{reg} tried to subtract pointer from scalar";
    SubtractFromStack { reg: u8 } "R{reg} subtraction from stack pointer prohibited";
    BitwiseOnPointer { reg: u8, op: &'static str } "R{reg} bitwise operator {op} on pointer prohibited";
    OperatorOnPointer { reg: u8, op: &'static str } "R{reg} pointer arithmetic with {op} operator prohibited";
    OffsetTooLarge { kind: String, value: i64 } "math between {kind} pointer and {value} is not allowed";
    PointerOffset { kind: String, off: i32 } "{kind} pointer offset {off} is not allowed";
    OffsetUnbounded { kind: String } "math between {kind} pointer and register with unbounded min value is not allowed";
    OffsetOutOfBounds { value: i64, kind: String } "value {value} makes {kind} pointer be out of bounds";
    MixedBounds { reg: u8 } "R{reg} has unknown scalar with mixed signed bounds, pointer arithmetic with it prohibited for !root";
    UnsupportedAlu { reg: u8 } "R{reg} has pointer with unsupported alu operation, pointer arithmetic with it prohibited for !root";
    DifferentPaths { reg: u8, op: &'static str } "R{reg} tried to {op} from different maps, paths or scalars, pointer arithmetic with it prohibited for !root";
    BeyondBounds { reg: u8, op: &'static str } "R{reg} tried to {op} beyond pointer bounds, pointer arithmetic with it prohibited for !root";
    NotPushed { reg: u8 } "R{reg} could not be pushed for speculative verification, pointer arithmetic with it prohibited for !root";
    StackArithmeticVariable { reg: u8, var_off: String, off: i32 } "R{reg} variable stack access prohibited for !root, var_off={var_off} off={off}";
    StackArithmeticRange { reg: u8, off: i32 } "R{reg} stack pointer arithmetic goes out of range, prohibited for !root; off={off}";
    MapValueArithmetic { reg: u8 } "R{reg} pointer arithmetic of map value goes out of range, prohibited for !root";
    PointerComparison { reg: u8 } "R{reg} pointer comparison prohibited";
    Invariants { what: String } "{what}";

    // Memory.
    Access { reg: u8, kind: String } "R{reg} invalid mem access '{kind}'";
    LeaksToMap { reg: u8 } "R{reg} leaks addr into map";
    LeaksToMem { reg: u8 } "R{reg} leaks addr into mem";
    LeaksToCtx { reg: u8 } "R{reg} leaks addr into ctx";
    LeaksToPacket { reg: u8 } "R{reg} leaks addr into packet";
    LeaksToFlowKeys { reg: u8 } "R{reg} leaks addr into flow keys";
    LeaksToHelper { reg: u8 } "R{reg} leaks addr into helper function";
    LeaksAsReturn { reg: u8 } "R{reg} leaks addr as return value";
    CannotWrite { reg: u8, kind: String } "R{reg} cannot write into {kind}";
    WriteToKey { reg: u8 } "write to change key R{reg} not allowed";
    WriteToPacket "cannot write into packet";
    MinNegative { reg: u8 } "R{reg} min value is negative, either use unsigned index or do a if (index >=0) check.";
    MinOutside { reg: u8 } "R{reg} min value is outside of the allowed memory range";
    MaxOutside { reg: u8 } "R{reg} max value is outside of the allowed memory range";
    Unbounded { reg: u8 } "R{reg} unbounded memory access, make sure to bounds check any such access";
    OutsidePacket { reg: u8 } "R{reg} offset is outside of the packet";
    CtxAccess { off: i32, size: i32 } "invalid bpf_context access off={off} size={size}";
    CtxReleased { off: i32 } "invalid bpf_context access off={off}. Reference may already be released";
    FlowKeys { off: i32, size: i32 } "invalid access to flow keys off={off} size={size}";
    SockAccess { reg: u8, kind: String, off: i32, size: i32 } "R{reg} invalid {kind} access off={off} size={size}";
    MapWriteForbidden { value_size: u32, off: i32, size: i32 } "write into map forbidden, value_size={value_size} off={off} size={size}";
    MapReadForbidden { value_size: u32, off: i32, size: i32 } "read from map forbidden, value_size={value_size} off={off} size={size}";
    MapUpdateForbidden "write into map forbidden";
    NegativeOffset { kind: String, reg: u8, off: i32 } "negative offset {kind} ptr R{reg} off={off} disallowed";
    ModifiedPointer { kind: String, reg: u8, off: i32 } "dereference of modified {kind} ptr R{reg} off={off} disallowed";
    VariablePointer { kind: String, var_off: String } "variable {kind} access var_off={var_off} disallowed";
    MisalignedPacket { var_off: String, reg_off: i32, off: i32, size: i32 } "misaligned packet access off 2+{var_off}+{reg_off}+{off} size {size}";
    Misaligned { what: &'static str, var_off: String, reg_off: i32, off: i32, size: i32 } "misaligned {what}access off {var_off}+{reg_off}+{off} size {size}";
    BufferNegative { reg: u8, what: &'static str, off: i32, size: i32 } "R{reg} invalid {what} buffer access: off={off}, size={size}";
    BufferVariable { reg: u8, off: i32, var_off: String } "R{reg} invalid variable buffer offset: off={off}, var_off={var_off}";
    AtomicStore { reg: u8, kind: String } "BPF_ATOMIC stores into R{reg} {kind} is not allowed";
    AtomicLoad { reg: u8, kind: String } "BPF_ATOMIC loads from R{reg} {kind} is not allowed";
    DifferentPointers "same insn cannot be used with different pointers";

    // Stack.
    CorruptsSpill "attempt to corrupt spilled pointer on stack";
    SpillSize "invalid size of register spill";
    FillSize "invalid size of register fill";
    SpillToCaller "cannot spill pointers to stack into stack frame of the caller";
    StackRead { off: i32, index: i32, size: i32 } "invalid read from stack off {off}+{index} size {size}";
    StackLeak { off: i32 } "leaking pointer from stack off {off}";
    StackAccess { what: &'static str, reg: u8, off: i32, size: i32 } "invalid{what} stack R{reg} off={off} size={size}";
    StackAccessVariable { what: &'static str, reg: u8, var_off: String, off: i32, size: i32 } "invalid variable-offset{what} stack R{reg} var_off={var_off} off={off} size={size}";
    StackUnbounded { what: &'static str, reg: u8 } "invalid unbounded variable-offset{what} stack R{reg}";
    StackVariableHelper { var_off: String, off: i32, size: i32 } "variable offset stack pointer cannot be passed into helper function; var_off={var_off} off={off} size={size}";
    StackVariableUnprivileged { reg: u8, var_off: String } "R{reg} variable offset stack access prohibited for !root, var_off={var_off}";
    SpillInVariableWrite { pc: u32, off: i32 } "spilled ptr in range of var-offset stack write; insn {pc}, ptr off: {off}";
    UninitInVariableWrite { pc: u32, off: i32 } "uninit stack in range of var-offset write prohibited for !root; insn {pc}, off: {off}";
    StackHelperRead { reg: u8, off: i32, index: i32, size: i32 } "invalid read from stack R{reg} off {off}+{index} size {size}";
    StackHelperReadVariable { reg: u8, var_off: String, index: i32, size: i32 } "invalid read from stack R{reg} var_off {var_off}+{index} size {size}";
    ZeroSizedRead "invalid zero-sized read";
    WriteToDynptr { off: i32 } "potential write to dynptr at off={off} disallowed";
    OverwriteDynptr "cannot overwrite referenced dynptr";
    ObjectOffset { what: &'static str } "{what} has to be at a constant offset";
    ObjectAlignment { what: &'static str, off: i32 } "cannot pass in {what} at an offset={off}";

    // Helpers.
    InvalidHelper { name: String, id: u32 } "invalid func {name}#{id}";
    HelperNotForType { name: String, id: u32 } "program of this type cannot use helper {name}#{id}";
    HelperGpl "cannot call GPL-restricted function from non-GPL compatible program";
    HelperInProbe "helper call is not allowed in probe";
    HelperSleeps "helper call might sleep in a non-sleepable prog";
    HelperInRcu { name: String, id: u32 } "sleepable helper {name}#{id} in rcu_read_lock region";
    HelperInPreempt { name: String, id: u32 } "sleepable helper {name}#{id} in non-preemptible region";
    HelperInIrq { name: String, id: u32 } "sleepable helper {name}#{id} in IRQ-disabled region";
    ArgType { reg: u8, kind: String, expected: String } "R{reg} type={kind} expected={expected}";
    PossiblyNull { arg: u8 } "Possibly NULL pointer passed to helper arg{arg}";
    MayWrite { name: String, reg: u8, kind: String } "{name}() may write into memory pointed by R{reg} type={kind}";
    BtfType { reg: u8, name: String, expected: String } "R{reg} is of type {name} but {expected} is expected";
    HelperPacket "helper access to the packet is not allowed";
    ReleaseOffset { reg: u8 } "R{reg} must have zero offset when passed to release func or trusted arg to kfunc";
    Unacquired { arg: u8 } "arg {arg} is an unacquired reference";
    ReleaseConstDynptr "cannot release unowned const bpf_dynptr";
    MustBeReferenced { reg: u8 } "R{reg} must be referenced when passed to release function";
    TwoReferences { reg: u8, first: u32, second: u32 } "more than one arg with ref_obj_id R{reg} {first} {second}";
    TimerMap { first: u32, second: u32 } "timer pointer in R1 map_uid={first} doesn't match map pointer in R2 map_uid={second}";
    SizeNegative { reg: u8 } "R{reg} min value is negative, either use unsigned or 'var &= const'";
    SizeZero { reg: u8, min: i64, max: i64 } "R{reg} invalid zero-sized read: u64=[{min},{max}]";
    SizeUnbounded { reg: u8 } "R{reg} unbounded memory access, use 'var &= const' or 'if (var < const)'";
    NotConstant { reg: u8 } "R{reg} is not a known constant'";
    StringMapWritable { reg: u8 } "R{reg} does not point to a readonly map'";
    StringNotConstant { reg: u8 } "R{reg} is not a constant address'";
    StringNotTerminated "string is not zero-terminated";
    FormatInvalid "Invalid format string";
    HelperBtfId { reg: u8 } "Helper has invalid btf_id in R{reg}";
    SockmapArg "invalid arg_type for sockmap/sockhash";
    SockmapUpdate "cannot update sockmap in this context";
    MapForHelper { map: u32, name: String, id: u32 } "cannot pass map_type {map} into func {name}#{id}";
    TailCallMap "expected prog array map for tail call";
    LocalStorageFlags "get_local_storage() doesn't support non-zero flags";
    DynptrFromMem { kind: String } "Unsupported reg type {kind} for bpf_dynptr_from_mem data";
    CallbackMap "callback function not allowed for map";
    NotAcquired { name: String, id: u32 } "func {name}#{id} reference has not been acquired before";
    FuncIp { name: String, id: u32, kind: u32 } "func {name}#{id} not supported for program type {kind}";
    FuncIpTracing { name: String, id: u32 } "func {name}#{id} supported only for fentry/fexit/fmod_ret programs";
    LsmSetRetval "BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!";
    KsymSize { name: String } "unable to resolve the size of type '{name}': -22";

    // Locks, references, sections.
    SpinOffset { reg: u8, lock: &'static str } "R{reg} doesn't have constant offset. {lock}_lock has to be at the constant offset";
    SpinNoBtf { map: String, lock: &'static str } "map '{map}' has to have BTF in order to use {lock}_lock";
    SpinMissing { what: &'static str, name: String, lock: &'static str } "{what} '{name}' has no valid {lock}_lock";
    SpinAt { off: i64, lock: &'static str, at: i32 } "off {off} doesn't point to 'struct {lock}_lock' that is at {at}";
    TwoLocks "Locking two bpf_spin_locks are not allowed";
    SameLock "Acquiring the same lock again, AA deadlock detected";
    UnlockWithout { lock: &'static str } "{lock}_unlock without taking a lock";
    UnlockDifferent { lock: &'static str } "{lock}_unlock of different lock";
    UnlockOrder { lock: &'static str } "{lock}_unlock cannot be out of order";
    LockInRbtreeCallback "can't spin_{{lock,unlock}} in rbtree cb";
    CallWhileLocked "function calls are not allowed while holding a lock";
    FieldOffset { reg: u8, name: &'static str } "R{reg} doesn't have constant offset. {name} has to be at the constant offset";
    FieldNoBtf { map: String, name: &'static str } "map '{map}' has to have BTF in order to use {name}";
    FieldMissing { map: String, name: &'static str } "map '{map}' has no valid {name}";
    FieldAt { off: i64, name: &'static str, at: i32 } "off {off} doesn't point to 'struct {name}' that is at {at}";
    FieldDirect { name: &'static str } "{name} cannot be accessed directly by load/store";
    FieldIndirect { name: &'static str } "{name} cannot be accessed indirectly by helper";
    FieldVariable { name: &'static str } "{name} access cannot have variable offset";
    FieldMisaligned { name: &'static str, expected: u32, off: i64 } "{name} access misaligned expected={expected} off={off}";
    FieldSize { name: &'static str } "{name} access size must be BPF_DW";
    KptrMode "kptr in map can only be accessed using BPF_MEM instruction mode";
    KptrStore "store to referenced kptr disallowed";
    UptrStore "store to uptr disallowed";
    KptrStoreImm { off: u32 } "BPF_ST imm must be 0 when storing to kptr at off={off}";
    KptrType { reg: u8, kind: String, expected: String } "invalid kptr access, R{reg} type={kind} expected={expected}";
    KptrNoBtf { map: String } "map '{map}' has to have BTF in order to use bpf_kptr_xchg";
    KptrOffset { reg: u8 } "R{reg} doesn't have constant offset. kptr has to be at the constant offset";
    KptrMissing { reg: u8 } "R{reg} has no valid kptr";
    KptrNotThere { off: u32 } "off={off} doesn't point to kptr";
    KptrNotReferenced { off: u32 } "off={off} kptr isn't referenced kptr";
    Unreleased { id: u32, pc: u32 } "Unreleased reference id={id} alloc_insn={pc}";
    InsideLock { what: &'static str } "{what} cannot be used inside bpf_spin_lock-ed region";
    LeaksReference { what: &'static str } "{what} would lead to reference leak";
    InsideIrq { what: &'static str } "{what} cannot be used inside bpf_local_irq_save-ed region";
    InsideRcu { what: &'static str } "{what} cannot be used inside bpf_rcu_read_lock-ed region";
    InsidePreempt { what: &'static str } "{what} cannot be used inside bpf_preempt_disable-ed region";

    // Calls of subprograms.
    CallbackNoInfo "missing btf func_info";
    CallbackNotStatic "callback function not static";
    GlobalWhileLocked "use static function instead";
    GlobalSleeps "a non-sleepable BPF program context";
    GlobalArgs { func: u32, name: String } "Caller passes invalid args into func#{func} ('{name}')";
    ArgNotScalar { reg: u8 } "R{reg} is not a scalar";
    ArgNotCtx { arg: u32 } "arg#{arg} expects pointer to ctx";
    ArgNull { arg: u32 } "arg#{arg} is expected to be non-NULL";
    ArgNotArena { reg: u8 } "R{reg} is not a pointer to arena or scalar.";
    StackReturned "cannot return stack pointer to the caller";
    ReturnNotScalar "R0 not a scalar value";
    ReturnRange { context: &'static str, reg: &'static str, has: String, min: i32, max: i32 } "{context} the register {reg} has{has} should have been in [{min}, {max}]";
    ReturnUnknown { context: &'static str, reg: u8, kind: String } "{context} the register R{reg} is not a known value ({kind})";
    SubprogReturn { reg: u8, kind: String } "At subprogram exit the register R{reg} is not a scalar value ({kind})";
    LsmVoidReturn "Note, BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!";
    GlobalTooManyArgs { name: String, count: u32 } "Global function {name}() with {count} > 5 args. Buggy compiler.";
    GlobalReturn { name: String } "Global function {name}() doesn't return scalar. Only those are supported.";
    GlobalArgType { arg: u32, kind: &'static str, name: String } "Arg#{arg} type {kind} in {name}() is not supported yet.";
    GlobalArgSize { arg: u32, kind: String, name: String } "arg#{arg} reference type('{kind} {name}') size cannot be determined: -22";
    GlobalArgTag { arg: u32, tag: String } "arg#{arg} has {tag}";
    LdAbsType "BPF_LD_[ABS|IND] instructions not allowed for this program type";
    LdAbsCtx "at the time of BPF_LD_ABS|IND R6 != pointer to skb";

    // Kernel types.
    BtfCaps { name: String } "'struct {name}' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN";
    BtfGpl { name: String } "Cannot access kernel 'struct {name}' from non-GPL compatible program";
    BtfNegative { reg: u8, name: String, off: i32 } "R{reg} is ptr_{name} invalid negative access: off={off}";
    BtfVariable { reg: u8, name: String, off: i32, var_off: String } "R{reg} is ptr_{name} invalid variable offset: off={off}, var_off={var_off}";
    BtfUser { reg: u8, name: String, off: i32 } "R{reg} is ptr_{name} access user memory: off={off}";
    BtfPercpu { reg: u8, name: String, off: i32 } "R{reg} is ptr_{name} access percpu memory: off={off}";
    BtfReadOnly "only read is supported";
    BtfBeyond { name: String, at: u32, size: u32 } "access beyond struct {name} at off {at} size {size}";
    BtfBeyondMember { member: String, end: u32, name: String, off: u32, size: u32 } "access beyond the end of member {member} (mend:{end}) in struct {name} with off {off} size {size}";
    BtfNotStruct { name: String } "Type '{name}' is not a struct";
    BtfNoSize { member: String } "field {member} doesn't have size";
    BtfMember { name: String, at: u32 } "struct {name} doesn't have field at offset {at}";
    BtfPointer { member: String, at: u32, name: String, off: u32, size: u32 } "cannot access ptr member {member} with moff {at} in struct {name} with off {off} size {size}";
    BtfText { text: String } "{text}";
    MapPtrType { map: u32 } "map_ptr access not supported for map type {map}";
    MapPtrNegative { reg: u8, name: String, off: i32 } "R{reg} is {name} invalid negative access: off={off}";
    MapPtrReadOnly { name: String } "only read from {name} is supported";

    // Kernel functions.
    KfuncNotAllowed { name: String } "calling kernel function {name} is not allowed";
    KfuncDestructive "destructive kfunc calls require CAP_SYS_BOOT capability";
    KfuncSleeps { name: String } "program must be sleepable to call sleepable kfunc {name}";
    KfuncTrap "unexpected __bpf_trap() due to uninitialized variable?";
    KfuncCallback { name: String, id: u32 } "kfunc {name}#{id} failed callback verification";
    KfuncRcuInCallback "Calling bpf_rcu_read_{{lock,unlock}} in unnecessary rbtree callback";
    RcuNested { name: String } "nested rcu read lock (kernel function {name})";
    RcuUnmatched { name: String } "unmatched rcu read unlock (kernel function {name})";
    SleepsInRcu { name: String } "kernel func {name} is sleepable within rcu_read_lock region";
    SleepsInPreempt { name: String } "kernel func {name} is sleepable within non-preemptible region";
    SleepsInIrq { name: String } "kernel func {name} is sleepable within IRQ-disabled region";
    PreemptUnmatched { name: String } "unmatched attempt to enable preemption (kernel function {name})";
    NeedsRcu { name: String } "kernel func {name} requires RCU critical section protection";
    KfuncNotAcquired { name: String, id: u32 } "kfunc {name}#{id} reference has not been acquired before";
    KfuncNeedsDevice "metadata kfuncs require device-bound program";
    KfuncTooManyArgs { name: String, count: u32 } "Function {name} has {count} > 5 args";
    KfuncReleases { name: String } "release kernel function {name} expects refcounted PTR_TO_BTF_ID";
    KfuncArgKind { arg: u32, kind: &'static str } "Unrecognized arg#{arg} type {kind}";
    KfuncArgNull { arg: u32 } "Possibly NULL pointer passed to trusted arg{arg}";
    KfuncArgUntrusted { reg: u8 } "R{reg} must be referenced or trusted";
    KfuncArgNotRcu { reg: u8 } "R{reg} must be a rcu pointer";
    KfuncArgNotConstant { reg: u8 } "R{reg} must be a known constant";
    KfuncSizeNotConstant { reg: u8 } "R{reg} is not a const";
    KfuncArgPointer { name: String, arg: u32, kind: &'static str, pointed: String } "kernel function {name} args#{arg} pointer type {kind} {pointed} is not supported";
    KfuncArgTarget { arg: u32, kind: &'static str, name: String, void: &'static str } "arg#{arg} pointer type {kind} {name} must point to {void}scalar, or struct with scalar";
    KfuncArgType { name: String, arg: u32, wanted: String, reg: u8, has: String } "kernel function {name} args#{arg} expected pointer to {wanted} but R{reg} has a pointer to {has}";
    KfuncArgNotObject { arg: u32, kind: String, expected: String } "arg#{arg} is {kind} expected {expected} or socket";
    KfuncArgNotCtx { arg: u32, kind: String } "arg#{arg} expected pointer to ctx, but got {kind}";
    KfuncArgNotMap { reg: u8 } "pointer in R{reg} isn't map pointer";
    KfuncArgNotStr { arg: u32 } "arg#{arg} doesn't point to a const string";
    KfuncArgNotValue { arg: u32 } "arg#{arg} doesn't point to a map value";
    KfuncArgNotIrqFlag { arg: u32 } "arg#{arg} doesn't point to an irq flag on stack";
    KfuncArgNotLockable { arg: u32 } "arg#{arg} doesn't point to map value or allocated object";
    KfuncArgNotFunc { arg: u32 } "arg{arg} expected pointer to func";
    KfuncArgNotHome { arg: u32 } "arg#{arg} expected pointer to map value or allocated object";
    KfuncArgNotAllocated { arg: u32 } "arg#{arg} expected pointer to allocated object";
    KfuncArgForDrop { arg: u32, drop: &'static str } "arg#{arg} expected for {drop}()";
    KfuncArgNotRef { arg: u32 } "arg#{arg} is neither owning or non-owning ref";
    KfuncArgNoRefcount { arg: u32 } "arg#{arg} doesn't point to a type with bpf_refcount field";
    KfuncObjectUnreferenced "allocated object must be referenced";
    KfuncBuffer { arg: u32, size: u32 } "arg#{arg} arg#{size} memory, len pair leads to invalid memory access";
    KfuncReturn { name: String, kind: &'static str, pointed: String } "kernel function {name} returns pointer type {kind} {pointed} is not supported";
    WorkqueueMap { first: u32, second: u32 } "workqueue pointer in R1 map_uid={first} doesn't match map pointer in R2 map_uid={second}";
    TaskWorkMap { first: u32, second: u32 } "bpf_task_work pointer in R2 map_uid={first} doesn't match map pointer in R3 map_uid={second}";
    CssTaskIter "css_task_iter is only allowed in bpf_lsm, bpf_iter and sleepable progs";
    FieldNotFound { name: &'static str, off: u32 } "{name} not found at offset={off}";
    GraphUnlocked { at: i32, name: &'static str } "bpf_spin_lock at off={at} must be held for {name}";
    GraphType { root: &'static str, node: &'static str, at: u32, holder: String, off: u32, has: String } "operation on {root} expects arg#1 {node} at offset={at} in struct {holder}, but arg is at offset={off} in struct {has}";
    GraphOffset { off: u32, node: &'static str, at: u32, holder: String } "arg#1 offset={off}, but expected {node} at offset={at} in struct {holder}";
    TreeNodeReference { name: String } "{name} can only take non-owning or refcounted bpf_rb_node pointer";
    TreeCallInCallback { name: String } "{name} not allowed in rbtree cb";
    ObjectTypeRange "local type ID argument must be in range [0, U32_MAX]";
    ObjectNeedsBtf "bpf_obj_new/bpf_percpu_obj_new requires prog BTF";
    ObjectNotStruct "bpf_obj_new/bpf_percpu_obj_new type ID argument must be of a struct";
    PercpuObjectSize { size: u32, most: u32 } "bpf_percpu_obj_new type size ({size}) is greater than {most}";
    PercpuObjectScalars "bpf_percpu_obj_new type ID argument must be of a struct of scalars";
    PercpuObjectFields "bpf_percpu_obj_new type ID argument must not contain special fields";
    KernelContext { id: u32 } "kern ctx type id {id} is not a struct";
    CastType "kfunc bpf_rdonly_cast type ID argument must be of a struct or void";
    CastUnknown { id: i64 } "Unknown type ID {id} passed to kfunc bpf_rdonly_cast";
    SliceWrite "the prog does not allow writes to packet data";
    ExceptionCallbackArgs "exception cb only supports single integer argument";
    StructOpsNotFunc { member: String, index: u32, name: String } "attach to invalid member {member}(@idx {index}) of struct {name}";
    StructOpsUnsupported { member: String, name: String } "attach to unsupported member {member} of struct {name}";
    StructWriteOff { name: String, off: i32 } "no write support to {name} at off {off}";
    StructWriteSize { name: String, off: i32, size: i32, end: u32 } "write access at off {off} with size {size} beyond the member of {name} ended at {end}";
    StructAccessOnly { name: String } "only access to {name} is supported";
    ObjectDirect { name: &'static str } "direct access to {name} is disallowed";
    DynptrUninit "Dynptr has to be an uninitialized dynptr";
    DynptrPointer { arg: u32 } "arg#{arg} expected pointer to stack or const struct bpf_dynptr";
    DynptrConst "cannot pass pointer to const bpf_dynptr, the helper mutates it";
    DynptrInit { arg: u32 } "Expected an initialized dynptr as arg #{arg}";
    DynptrType { kind: &'static str, arg: u32 } "Expected a dynptr of type {kind} as arg #{arg}";
    IterPointer { arg: u32 } "arg#{arg} expected pointer to an iterator on stack";
    IterValid { arg: u32 } "expected valid iter pointer as arg #{arg}";
    IterUninit { name: String, arg: u32 } "expected uninitialized iter_{name} as arg #{arg}";
    IterInit { name: String, arg: u32 } "expected an initialized iter_{name} as arg #{arg}";
    IterRcu { name: String } "expected an RCU CS when using {name}";
    IrqUninit { arg: u32 } "expected uninitialized irq flag as arg#{arg}";
    IrqInit { arg: u32 } "expected an initialized irq flag as arg#{arg}";
    IrqClass { saved: &'static str, used: &'static str } "irq flag acquired by {saved} kfuncs cannot be restored with {used} kfuncs";
    IrqOrder { id: u32, pc: u32 } "cannot restore irq state out of order, expected id={id} acquired at insn_idx={pc}";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_prints_linuxs_line() {
        let reason = Reason::Access { reg: 0, kind: "scalar".into() };
        assert_eq!(reason.to_string(), "R0 invalid mem access 'scalar'");
        assert_eq!(reason.name(), "Access");
        let reason = Reason::LockInRbtreeCallback;
        assert_eq!(reason.to_string(), "can't spin_{lock,unlock} in rbtree cb");
    }
}
