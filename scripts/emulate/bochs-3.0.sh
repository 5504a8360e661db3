#!/usr/bin/env bash
# What Linux needs of AMX beyond the instructions, for the sources of Bochs 3.0 (run in their folder): XFD, the switch by
# which it notices a process's first use of tiles, with its two registers and its exception; and tiles saved and restored
# whole, with their lines and bytes in their places, when they are in use and not when they are not.
set -euo pipefail

ed -s cpu/cpu.h <<'END'
672a
  Bit64u ia32_xfd;
  Bit64u ia32_xfd_err;
.
w
q
END
ed -s cpu/cpuid.cc <<'END'
262a
      if (subfunction == xcr0_t::BX_XCR0_XTILEDATA_BIT) leaf->ecx |= 4;
.
238c
      leaf->eax |= (1<<3) | (1<<4);
.
w
q
END
ed -s cpu/init.cc <<'END'
1057a
  BX_CPU_THIS_PTR msr.ia32_xfd = 0;
  BX_CPU_THIS_PTR msr.ia32_xfd_err = 0;
.
w
q
END
ed -s cpu/msr.cc <<'END'
961a
    case BX_MSR_XFD:
      BX_CPU_THIS_PTR msr.ia32_xfd = val_64;
      handleAvxModeChange();
      break;
    case BX_MSR_XFD_ERR:
      BX_CPU_THIS_PTR msr.ia32_xfd_err = val_64;
      break;
.
337a
    case BX_MSR_XFD:
      val64 = BX_CPU_THIS_PTR msr.ia32_xfd;
      break;
    case BX_MSR_XFD_ERR:
      val64 = BX_CPU_THIS_PTR msr.ia32_xfd_err;
      break;
.
111a
  msr_desc[BX_MSR_XFD] = new MSR_Descriptor("MSR_IA32_XFD", BX_ISA_XSAVES);
  msr_desc[BX_MSR_XFD_ERR] = new MSR_Descriptor("MSR_IA32_XFD_ERR", BX_ISA_XSAVES);
.
w
q
END
ed -s cpu/msr.h <<'END'
176a
  BX_MSR_XFD = 0x1C4,
  BX_MSR_XFD_ERR = 0x1C5,
.
w
q
END
ed -s cpu/proc_ctrl.cc <<'END'
608a

  if (BX_CPU_THIS_PTR msr.ia32_xfd & BX_XCR0_XTILEDATA_MASK) {
    BX_CPU_THIS_PTR msr.ia32_xfd_err |= BX_XCR0_XTILEDATA_MASK;
    exception(BX_NM_EXCEPTION, 0);
  }
.
541c
      (~BX_CPU_THIS_PTR xcr0.val32 & (BX_XCR0_XTILECFG_MASK | BX_XCR0_XTILEDATA_MASK)) != 0 ||
      (BX_CPU_THIS_PTR msr.ia32_xfd & BX_XCR0_XTILEDATA_MASK) != 0)
.
w
q
END
ed -s cpu/xsave.cc <<'END'
1203c
  return (BX_CPU_THIS_PTR amx->tile_use_tracker != 0);
.
1186c
    for (unsigned row=0; row < BX_TILE_MAX_ROWS; row++) {
.
1175c
    for (unsigned row=0; row < BX_TILE_MAX_ROWS; row++) {
.
1142,1143c
      tilecfg.vmm16u(8+n)    = BX_CPU_THIS_PTR amx->tilecfg[n].bytes_per_row;
      tilecfg.vmmubyte(48+n) = BX_CPU_THIS_PTR amx->tilecfg[n].rows;
.
w
q
END
