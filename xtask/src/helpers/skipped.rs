//! Helpers that are not compared so, each with the reason, and what of a run is not compared.

use skep_abi::ProgType;
use skep_abi::helper::id;

use super::kernels::Ran;

const CHANCE: &str = "what it gives is a time, chance, or a number of this machine's own";
const ACTS: &str = "on Linux it would act on the process that asks";
const ADDRESS: &str = "what it gives is an address of the kernel";
const ENDS: &str = "it does not return here: tail calls have tests of their own";
const CALLS: &str = "it calls a subprogram, which has to have types: tests of their own";
const LEFT: &str = "on Linux it looks at a register that its row says nothing of";
const LOCKS: &str = "it needs a value with types: tests of their own";

const NOT: &[(u32, &str)] = &[
    (id::KTIME_GET_NS, CHANCE),
    (id::KTIME_GET_BOOT_NS, CHANCE),
    (id::KTIME_GET_COARSE_NS, CHANCE),
    (id::KTIME_GET_TAI_NS, CHANCE),
    (id::JIFFIES64, CHANCE),
    (id::GET_PRANDOM_U32, CHANCE),
    (id::GET_SOCKET_COOKIE, CHANCE),
    (id::GET_NETNS_COOKIE, CHANCE),
    (id::GET_CGROUP_CLASSID, CHANCE),
    (id::GET_CURRENT_TASK, ADDRESS),
    (id::GET_CURRENT_TASK_BTF, ADDRESS),
    (id::TASK_PT_REGS, ADDRESS),
    (id::GET_FUNC_IP, ADDRESS),
    (id::GET_STACK, ADDRESS),
    (id::GET_STACKID, ADDRESS),
    (id::GET_TASK_STACK, ADDRESS),
    (id::SEND_SIGNAL, ACTS),
    (id::SEND_SIGNAL_THREAD, ACTS),
    (id::PROBE_WRITE_USER, ACTS),
    (id::SYS_BPF, ACTS),
    (id::SYS_CLOSE, ACTS),
    (id::TAIL_CALL, ENDS),
    (id::FOR_EACH_MAP_ELEM, CALLS),
    (id::LOOP, CALLS),
    (id::FIND_VMA, CALLS),
    (id::USER_RINGBUF_DRAIN, CALLS),
    (id::TIMER_SET_CALLBACK, CALLS),
    (id::GET_BRANCH_SNAPSHOT, LEFT),
    (id::TIMER_INIT, LOCKS),
    (id::TIMER_START, LOCKS),
    (id::TIMER_CANCEL, LOCKS),
    (id::KPTR_XCHG, LOCKS),
];

/// Why a helper is not compared.
pub fn why(helper: u32) -> Option<&'static str> {
    NOT.iter().find(|(row, _)| *row == helper).map(|(_, why)| *why)
}

/// Whether Linux's TEST_RUN of such programs has nothing of what the helper follows.
pub fn crashes(helper: u32, kind: ProgType) -> bool {
    helper == id::LWT_PUSH_ENCAP && kind == ProgType::LwtXmit
}

/// Takes out what is by a secret of each kernel's.
pub fn forget(helper: u32, linux: &mut Ran, ours: &mut Ran) {
    match helper {
        // Hashes by a random key: there is one, or there is none.
        id::GET_HASH_RECALC => {
            for ran in [linux, ours] {
                ran.gave = u64::from(ran.gave != 0);
            }
        }
        // A cookie is by a secret, the size of segments above it is not.
        id::TCP_RAW_GEN_SYNCOOKIE_IPV4 | id::TCP_RAW_GEN_SYNCOOKIE_IPV6 => {
            for ran in [linux, ours] {
                if (ran.gave as i64) >= 0 {
                    ran.gave >>= 32;
                }
            }
        }
        _ => {}
    }
}
