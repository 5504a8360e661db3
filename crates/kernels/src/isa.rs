//! Instruction sets: which there are here, and which one to use.

use std::fmt;
use std::str::FromStr;

/// An instruction set, from the plainest to the widest. Each includes what the ones before it need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Whatever the compiler makes of plain loops: SSE2 on x86-64, NEON on ARM.
    Scalar,
    /// AVX2, FMA, F16C.
    Avx2,
    /// AVX-512 F, BW, DQ, VL.
    Avx512,
    /// AMX tiles in bf16, beside AVX-512 with BF16.
    Amx,
}

impl Isa {
    pub const ALL: [Self; 4] = [Self::Scalar, Self::Avx2, Self::Avx512, Self::Amx];

    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Amx => "amx",
        }
    }

    /// Whether this processor, as the system lets it be used, has it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Amx => Self::Avx512.is_available() && is_x86_feature_detected!("avx512bf16") && has_amx(),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// All that are available here, plainest first.
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|isa| isa.is_available()).collect()
    }

    /// The widest available, or the one named: by `SUREFOOT_ISA`, usually.
    pub fn choose(name: Option<&str>) -> Result<Self, IsaError> {
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Ok(Self::available().into_iter().max().unwrap_or(Self::Scalar));
        };
        let isa: Self = name.parse()?;
        if isa.is_available() {
            Ok(isa)
        } else {
            Err(IsaError::Unavailable(isa))
        }
    }
}

impl FromStr for Isa {
    type Err = IsaError;

    fn from_str(name: &str) -> Result<Self, IsaError> {
        let found = Self::ALL.into_iter().find(|isa| isa.name() == name);
        found.ok_or_else(|| IsaError::Unknown(name.to_owned()))
    }
}

/// Why an instruction set cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IsaError {
    Unknown(String),
    Unavailable(Isa),
}

impl fmt::Display for IsaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |all: &[Isa]| all.iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", ");
        match self {
            Self::Unknown(name) => write!(f, "{name:?} is none of {}", list(&Isa::ALL)),
            Self::Unavailable(isa) => write!(
                f,
                "this machine has no {}; it has {}",
                isa.name(),
                list(&Isa::available())
            ),
        }
    }
}

impl std::error::Error for IsaError {}

/// AMX with bf16 tiles, and the system's leave to use it (asked for once, before any thread uses it).
#[cfg(target_arch = "x86_64")]
fn has_amx() -> bool {
    use std::sync::OnceLock;
    static AMX: OnceLock<bool> = OnceLock::new();
    const TILE: u32 = 1 << 24;
    const BF16: u32 = 1 << 22;
    *AMX.get_or_init(|| {
        let leaf = std::arch::x86_64::__cpuid_count(7, 0).edx;
        leaf & TILE != 0 && leaf & BF16 != 0 && tiles_allowed()
    })
}

/// arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA): Linux gives a process its tile registers only when asked.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn tiles_allowed() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XFEATURE_XTILEDATA: i64 = 18;
    let result: i64;
    // SAFETY: this system call reads and writes no memory of ours.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            out("rcx") _,
            out("r11") _,
            options(nostack)
        );
    }
    result == 0
}

#[cfg(all(target_arch = "x86_64", not(target_os = "linux")))]
fn tiles_allowed() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_refused() {
        for isa in Isa::ALL {
            assert_eq!(isa.name().parse(), Ok(isa));
        }
        let error = Isa::choose(Some("sse9")).unwrap_err();
        assert_eq!(error.to_string(), "\"sse9\" is none of scalar, avx2, avx512, amx");
    }

    #[test]
    fn the_widest_is_chosen_and_a_missing_one_refused() {
        let available = Isa::available();
        assert_eq!(Isa::choose(None).ok(), available.iter().copied().max());
        for isa in Isa::ALL {
            assert_eq!(Isa::choose(Some(isa.name())).is_ok(), available.contains(&isa));
        }
    }
}
