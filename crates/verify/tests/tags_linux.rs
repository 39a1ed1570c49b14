//! Tags beside the running Linux's: instructions in which maps are named in every way.

use std::sync::Arc;

use skep_abi::{MapType, ProgType};
use skep_isa::{AluOp, Width};
use skep_isa::{Imm64, ImmKind, Insn, Operand, Reg, Slot, encode};
use skep_sys::{Command, Fd, Kernel, Linux, MapCreate, ProgInfo, ProgLoad};

#[test]
fn a_tag_is_what_linux_gives() {
    let linux: Arc<dyn Kernel> = Arc::new(Linux::new());
    let mut maps = Vec::new();
    for _ in 0..2 {
        let create = MapCreate {
            map_type: MapType::Array as u32,
            key_size: 4,
            value_size: 16,
            max_entries: 1,
            ..MapCreate::default()
        };
        match Fd::open(&linux, &mut Command::MapCreate(create)) {
            Ok(fd) => maps.push(fd),
            Err(errno) => {
                println!("skipped: BPF_MAP_CREATE: {errno}");
                return;
            }
        }
    }
    let wide =
        |kind, lo, hi| [Insn::LoadImm64 { dst: Reg::R1, imm: Imm64 { kind, lo, hi } }, Insn::Hole];
    let end = |imm| {
        let (op, width, src) = (AluOp::Mov, Width::W64, Operand::Imm(imm));
        [Insn::Alu { op, width, dst: Reg::R0, src }, Insn::Exit]
    };
    let fd = |at: usize| maps[at].raw() as u32;
    let programs = [
        end(0).to_vec(),
        end(1).to_vec(),
        [wide(ImmKind::MapFd, fd(0), 0), end(0)].concat(),
        [wide(ImmKind::MapValue, fd(1), 8), wide(ImmKind::MapFd, fd(0), 0), end(0)].concat(),
        [wide(ImmKind::MapIdx, 1, 0), wide(ImmKind::MapIdxValue, 0, 4), end(0)].concat(),
        [wide(ImmKind::Const, 7, 9), end(0)].concat(),
    ];
    let array: Vec<u8> = maps.iter().flat_map(|fd| fd.raw().to_ne_bytes()).collect();
    for program in programs {
        let slots = encode(&program);
        let load = ProgLoad {
            prog_type: ProgType::SocketFilter as u32,
            insn_cnt: slots.len() as u32,
            insns: Some(Slot::join(&slots).into()),
            license: Some(b"GPL\0"[..].into()),
            fd_array: Some(array[..].into()),
            ..ProgLoad::default()
        };
        let fd = Fd::open(&linux, &mut Command::ProgLoad(Box::new(load))).expect("loads");
        let info = ProgInfo::query(&*linux, fd.raw()).expect("is a program");
        assert_eq!(skep_verify::tag(&slots), info.tag, "{program:?}");
    }
}
