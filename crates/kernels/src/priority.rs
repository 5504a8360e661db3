//! The priority of threads that compute.

/// How nice a thread is that computes in the background.
#[cfg(target_os = "linux")]
const NICE: i64 = 5;

/// Lowers the calling thread's priority to nice 5, so that whoever waits for events goes first. A thread that is as nice
/// already stays as it is.
///
/// Whether the thread is now at least as nice: false where the system does not let it, or is not Linux on x86-64 or ARM.
pub fn lower_priority() -> bool {
    #[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        // The kernel counts 20 − nice, so that every good answer is positive.
        let nice = 20 - call(GETPRIORITY, 0);
        (NICE..=19).contains(&nice) || call(SETPRIORITY, NICE) == 0
    }
    #[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
    false
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
const GETPRIORITY: i64 = 140;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
const SETPRIORITY: i64 = 141;
#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
const GETPRIORITY: i64 = 141;
#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
const SETPRIORITY: i64 = 140;

/// get- or setpriority(PRIO_PROCESS, 0, `nice`): Linux takes process 0 for the calling thread.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn call(number: i64, nice: i64) -> i64 {
    let result: i64;
    // SAFETY: these system calls read and write no memory of ours.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") 0_i64,
            in("rsi") 0_i64,
            in("rdx") nice,
            out("rcx") _,
            out("r11") _,
            options(nostack)
        );
    }
    result
}

/// get- or setpriority(PRIO_PROCESS, 0, `nice`): Linux takes process 0 for the calling thread.
#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
fn call(number: i64, nice: i64) -> i64 {
    let result: i64;
    // SAFETY: these system calls read and write no memory of ours.
    unsafe {
        std::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") 0_i64 => result,
            in("x1") 0_i64,
            in("x2") nice,
            options(nostack)
        );
    }
    result
}

#[cfg(all(test, target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use super::*;

    fn nice() -> i64 {
        20 - call(GETPRIORITY, 0)
    }

    #[test]
    fn a_thread_lowers_its_own_priority_and_no_others() {
        let before = nice();
        let (lowered, inside, again, still) =
            std::thread::spawn(|| (lower_priority(), nice(), lower_priority(), nice()))
                .join()
                .unwrap();
        assert!(lowered && again);
        assert_eq!((inside, still), (before.max(NICE), before.max(NICE)));
        assert_eq!(nice(), before);
    }
}
