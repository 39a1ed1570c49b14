//! Which helper may use which map: some maps serve few helpers, some helpers take few
//! maps. Counterpart: `check_map_func_compatibility`.

use super::Helper;
use crate::MapType;
use crate::MapType as M;

impl Helper {
    /// Numbers of the only helpers that take maps of this type; `None` where all do.
    pub fn of_map(kind: MapType) -> Option<&'static [u32]> {
        match kind {
            M::ProgArray => Some(&[12]),
            M::PerfEventArray => Some(&[22, 25, 55, 111, 121]),
            M::Ringbuf => Some(&[130, 131, 134, 198, 199, 200]),
            M::UserRingbuf => Some(&[209]),
            M::StackTrace => Some(&[27]),
            M::CgroupArray => Some(&[33, 37]),
            M::CgroupStorage | M::PercpuCgroupStorage => Some(&[81]),
            M::Devmap | M::DevmapHash | M::Xskmap => Some(&[51, 1]),
            M::Cpumap => Some(&[51]),
            M::ArrayOfMaps | M::HashOfMaps => Some(&[1]),
            M::Sockmap => Some(&[52, 53, 60, 82, 1]),
            M::Sockhash => Some(&[72, 70, 71, 82, 1]),
            M::ReuseportSockarray => Some(&[82]),
            M::Queue | M::Stack => Some(&[87, 88, 89]),
            M::SkStorage => Some(&[107, 108, 194]),
            M::InodeStorage => Some(&[145, 146, 194]),
            M::TaskStorage => Some(&[156, 157, 194]),
            M::CgrpStorage => Some(&[210, 211, 194]),
            M::BloomFilter => Some(&[87, 89]),
            _ => None,
        }
    }

    /// The only types of map that the helper with this number takes; `None` where it
    /// takes all.
    pub fn maps_of(number: u32) -> Option<&'static [MapType]> {
        match number {
            12 => Some(&[M::ProgArray]),
            22 | 25 | 55 | 111 | 121 => Some(&[M::PerfEventArray]),
            130 | 131 | 134 | 198 | 199 | 200 => Some(&[M::Ringbuf]),
            209 => Some(&[M::UserRingbuf]),
            27 => Some(&[M::StackTrace]),
            33 | 37 => Some(&[M::CgroupArray]),
            51 => Some(&[M::Devmap, M::DevmapHash, M::Cpumap, M::Xskmap]),
            52 | 53 | 60 => Some(&[M::Sockmap]),
            70..=72 => Some(&[M::Sockhash]),
            81 => Some(&[M::CgroupStorage, M::PercpuCgroupStorage]),
            82 => Some(&[M::ReuseportSockarray, M::Sockmap, M::Sockhash]),
            88 => Some(&[M::Queue, M::Stack]),
            87 | 89 => Some(&[M::Queue, M::Stack, M::BloomFilter]),
            195 => Some(&[M::PercpuArray, M::PercpuHash, M::LruPercpuHash]),
            107 | 108 => Some(&[M::SkStorage]),
            145 | 146 => Some(&[M::InodeStorage]),
            156 | 157 => Some(&[M::TaskStorage]),
            210 | 211 => Some(&[M::CgrpStorage]),
            _ => None,
        }
    }
}
