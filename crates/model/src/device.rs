//! Where a model computes.

use std::str::FromStr;

use candle_core::Device;

use crate::error::{Error, Result};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Choice {
    /// The fastest that this build has here.
    #[default]
    Auto,
    Cpu,
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

/// Opens a device, or says which there are.
pub fn open(choice: Choice) -> Result<Device> {
    let opened = match choice {
        Choice::Cpu => Ok(Device::Cpu),
        Choice::Cuda => Device::new_cuda(0),
        Choice::Metal => Device::new_metal(0),
        Choice::Auto => Device::new_cuda(0)
            .or_else(|_| Device::new_metal(0))
            .or(Ok(Device::Cpu)),
    };
    opened.map_err(|_| Error::DeviceUnavailable {
        device: format!("{choice:?}").to_lowercase(),
        available: available(),
    })
}

pub fn name(device: &Device) -> &'static str {
    match device {
        Device::Cpu => "cpu",
        Device::Cuda(_) => "cuda",
        Device::Metal(_) => "metal",
    }
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
