//! Licences that let a program call GPL-only functions. Counterpart:
//! `license_is_gpl_compatible` in `include/linux/license.h`.

const GPL_COMPATIBLE: [&[u8]; 6] = [
    b"GPL",
    b"GPL v2",
    b"GPL and additional rights",
    b"Dual BSD/GPL",
    b"Dual MIT/GPL",
    b"Dual MPL/GPL",
];

/// Whether a licence, up to its first zero byte, is compatible with the GPL.
pub fn is_gpl_compatible(licence: &[u8]) -> bool {
    let text = licence.split(|&byte| byte == 0).next().unwrap_or_default();
    GPL_COMPATIBLE.contains(&text)
}
