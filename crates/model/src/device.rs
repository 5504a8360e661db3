//! Where a model computes.

use std::str::FromStr;

use candle_core::Device;

use crate::error::{Error, Result};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Choice {
    /// The fastest that this build has here.
    #[default]
    Auto,
    /// Our own kernels.
    Cpu,
    /// candle on the CPU: the oracle. Not offered by name.
    Candle,
    Cuda,
    Metal,
}

impl FromStr for Choice {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            "metal" => Ok(Self::Metal),
            other => Err(Error::InvalidArgument {
                argument: "device".into(),
                message: format!("{other:?} is none of auto, cpu, cuda, metal"),
            }),
        }
    }
}

/// Where to compute.
pub enum Opened {
    Cpu,
    Candle(Device),
}

impl Opened {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cpu | Self::Candle(Device::Cpu) => "cpu",
            Self::Candle(Device::Cuda(_)) => "cuda",
            Self::Candle(Device::Metal(_)) => "metal",
        }
    }
}

/// Opens a device, or says which there are.
pub fn open(choice: Choice) -> Result<Opened> {
    let gpu = |opened: candle_core::Result<Device>| opened.map(Opened::Candle);
    let opened = match choice {
        Choice::Cpu => Ok(Opened::Cpu),
        Choice::Candle => Ok(Opened::Candle(Device::Cpu)),
        Choice::Cuda => gpu(Device::new_cuda(0)),
        Choice::Metal => gpu(Device::new_metal(0)),
        Choice::Auto => gpu(Device::new_cuda(0).or_else(|_| Device::new_metal(0))).or(Ok(Opened::Cpu)),
    };
    opened.map_err(|_| Error::DeviceUnavailable {
        device: format!("{choice:?}").to_lowercase(),
        available: available(),
    })
}

fn available() -> Vec<String> {
    let mut names = vec!["cpu".to_owned()];
    if Device::new_cuda(0).is_ok() {
        names.push("cuda".into());
    }
    if Device::new_metal(0).is_ok() {
        names.push("metal".into());
    }
    names
}
