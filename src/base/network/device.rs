//! From the name of a device to burn's.

use burn::tensor::Device as Opened;

use super::NetworkError;
use crate::base::Device;

/// Whether this build can run on a device, and the device is there.
pub fn check_device(device: Device) -> Result<(), NetworkError> {
    open(device).map(drop)
}

/// The device, found to be there. One that this build has no code for is an error that names the feature.
pub(super) fn open(device: Device) -> Result<Opened, NetworkError> {
    match device {
        Device::Cpu => Ok(Opened::flex()),
        #[cfg(feature = "cuda")]
        Device::Cuda(number) => answering(device, || Opened::cuda(number.unwrap_or(0))),
        #[cfg(feature = "wgpu")]
        Device::Wgpu(number) => answering(device, || {
            use burn::tensor::DeviceKind;
            Opened::wgpu(number.map_or(DeviceKind::DefaultDevice, DeviceKind::DiscreteGpu))
        }),
        #[cfg(not(feature = "cuda"))]
        Device::Cuda(_) => Err(NetworkError::NoDevice {
            device,
            feature: "cuda",
        }),
        #[cfg(not(feature = "wgpu"))]
        Device::Wgpu(_) => Err(NetworkError::NoDevice {
            device,
            feature: "wgpu",
        }),
    }
}

/// Opens a device and has it add two numbers: drivers that are missing show themselves by a panic.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
fn answering(
    device: Device,
    open: impl FnOnce() -> Opened + std::panic::UnwindSafe,
) -> Result<Opened, NetworkError> {
    use burn::tensor::Tensor;
    let opened = std::panic::catch_unwind(|| {
        let opened = open();
        let sum = Tensor::<1>::from_floats([1.0, 2.0], &opened).sum();
        let sum = sum.into_data().try_into_vec::<f32>().unwrap_or_default();
        (sum == [3.0]).then_some(opened)
    });
    match opened {
        Ok(Some(opened)) => Ok(opened),
        _ => Err(NetworkError::Silent(device)),
    }
}
