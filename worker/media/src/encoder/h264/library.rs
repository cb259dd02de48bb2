//! openh264 behind a safe face. Everything unsafe about H.264 is in this file.
#![expect(unsafe_code, reason = "openh264 is a C++ library with a C vtable")]

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;

use openh264_sys2 as sys;
use sys::source::APILoader;
use thiserror::Error;

use super::{Level, VideoSettings};
use crate::picture::I420;
use crate::rate::Qp;

/// A call into openh264 that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("openh264 answered {code} to {call}")]
pub struct LibraryError {
    call: &'static str,
    code: c_int,
}

/// The bit rate the library is told. With rate control off it decides nothing but the least level that the library
/// accepts, and every level allows this much.
const NOMINAL_BITRATE: c_int = 64_000;

/// One open encoder.
#[derive(Debug)]
pub(super) struct Library {
    encoder: *mut sys::ISVCEncoder,
    parameters: Box<sys::SEncParamExt>,
}

// SAFETY: the encoder keeps no thread-local state and starts no threads (`iMultipleThreadIdc` is 1); it may be used from
// any thread, one at a time, which `&mut self` on every method ensures.
unsafe impl Send for Library {}

/// Calls a function of the encoder's vtable and turns its code into a `Result`.
macro_rules! call {
    ($library:expr, $function:ident $(, $argument:expr)*) => {{
        let encoder: *mut sys::ISVCEncoder = $library;
        // SAFETY: `encoder` came from WelsCreateSVCEncoder and is not destroyed before `Library` is dropped, so it points
        // at a vtable pointer; the caller vouches for the arguments.
        let code = unsafe {
            match (**encoder).$function {
                Some(function) => function(encoder $(, $argument)*),
                None => -1,
            }
        };
        check(stringify!($function), code)
    }};
}

impl Library {
    pub(super) fn open(settings: VideoSettings, level: Level, qp: Qp) -> Result<Library, LibraryError> {
        let mut encoder = ptr::null_mut();
        // SAFETY: the pointer is written before it is read.
        check("WelsCreateSVCEncoder", unsafe { APILoader::WelsCreateSVCEncoder(&raw mut encoder) })?;
        if encoder.is_null() {
            return Err(LibraryError { call: "WelsCreateSVCEncoder", code: 0 });
        }
        let mut library = Library { encoder, parameters: Box::default() };
        library.set_option(sys::ENCODER_OPTION_TRACE_LEVEL, &mut { sys::WELS_LOG_QUIET })?;
        call!(encoder, GetDefaultParams, &raw mut *library.parameters)?;
        configure(&mut library.parameters, settings, level, qp);
        call!(encoder, InitializeExt, &raw const *library.parameters)?;
        library.set_option(sys::ENCODER_OPTION_DATAFORMAT, &mut { sys::videoFormatI420 })?;
        Ok(library)
    }

    /// Changes the quantiser of the pictures that follow. Starts nothing anew: no key frame, no parameter sets.
    pub(super) fn set_qp(&mut self, qp: Qp) -> Result<(), LibraryError> {
        self.parameters.sSpatialLayers[0].iDLayerQp = qp.get().into();
        let mut parameters = *self.parameters;
        self.set_option(sys::ENCODER_OPTION_SVC_ENCODE_PARAM_EXT, &mut parameters)
    }

    /// Makes the next picture an IDR picture.
    pub(super) fn force_key_frame(&mut self) -> Result<(), LibraryError> {
        call!(self.encoder, ForceIntraFrame, true)
    }

    /// SPS and PPS as a byte stream.
    pub(super) fn parameter_sets(&mut self) -> Result<Vec<u8>, LibraryError> {
        let mut info = frame_info();
        call!(self.encoder, EncodeParameterSets, info.as_mut_ptr())?;
        // SAFETY: all zeros is a valid value and the call succeeded; the layers live until the next call.
        Ok(unsafe { layer_bytes(&info.assume_init_ref().sLayerInfo[0]) }.to_vec())
    }

    /// Encodes one picture; the answer is a byte stream, empty where the library skipped it.
    pub(super) fn encode(&mut self, picture: &I420<'_>, milliseconds: i64) -> Result<Vec<u8>, LibraryError> {
        let [y, u, v] = picture.planes();
        let stride = |stride: usize| {
            c_int::try_from(stride).map_err(|_too_long| LibraryError { call: "EncodeFrame", code: -1 })
        };
        let source = sys::SSourcePicture {
            iColorFormat: sys::videoFormatI420,
            iStride: [stride(y.stride)?, stride(u.stride)?, stride(v.stride)?, 0],
            // The library only reads through these.
            pData: [
                y.bytes.as_ptr().cast_mut(),
                u.bytes.as_ptr().cast_mut(),
                v.bytes.as_ptr().cast_mut(),
                ptr::null_mut(),
            ],
            iPicWidth: self.parameters.iPicWidth,
            iPicHeight: self.parameters.iPicHeight,
            uiTimeStamp: milliseconds,
            ..Default::default()
        };
        let mut info = frame_info();
        call!(self.encoder, EncodeFrame, &raw const source, info.as_mut_ptr())?;
        // SAFETY: all zeros is a valid value and the call succeeded.
        let info = unsafe { info.assume_init_ref() };
        let mut stream = Vec::with_capacity(usize::try_from(info.iFrameSizeInBytes).unwrap_or(0));
        let layers = usize::try_from(info.iLayerNum).unwrap_or(0).min(info.sLayerInfo.len());
        for layer in &info.sLayerInfo[..layers] {
            // SAFETY: the library filled the first `iLayerNum` layers; they live until the next call.
            stream.extend_from_slice(unsafe { layer_bytes(layer) });
        }
        Ok(stream)
    }

    fn set_option<T>(&mut self, option: sys::ENCODER_OPTION, value: &mut T) -> Result<(), LibraryError> {
        call!(self.encoder, SetOption, option, ptr::from_mut(value).cast::<c_void>())
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // Nothing can be done about a failure here, and uninitialised encoders answer 0.
        call!(self.encoder, Uninitialize).ok();
        // SAFETY: created by WelsCreateSVCEncoder, destroyed once.
        unsafe { APILoader::WelsDestroySVCEncoder(self.encoder) };
    }
}

fn check(call: &'static str, code: c_int) -> Result<(), LibraryError> {
    if code == 0 { Ok(()) } else { Err(LibraryError { call, code }) }
}

/// 128 layers are 7 KiB: made once per call, never moved.
fn frame_info() -> MaybeUninit<sys::SFrameBSInfo> {
    MaybeUninit::zeroed()
}

/// All NAL units of a layer, one behind the other with their start codes.
///
/// # Safety
/// `layer` was filled by the library, and the encoder was not called since.
unsafe fn layer_bytes(layer: &sys::SLayerBSInfo) -> &[u8] {
    let count = usize::try_from(layer.iNalCount).unwrap_or(0);
    if count == 0 || layer.pBsBuf.is_null() || layer.pNalLengthInByte.is_null() {
        return &[];
    }
    // SAFETY: the library promises `iNalCount` lengths, and a buffer of their sum.
    unsafe {
        let lengths = std::slice::from_raw_parts(layer.pNalLengthInByte, count);
        let total = lengths.iter().map(|&length| usize::try_from(length).unwrap_or(0)).sum();
        std::slice::from_raw_parts(layer.pBsBuf, total)
    }
}

/// Settings that give the same bits on every machine and no surprises in quality.
fn configure(parameters: &mut sys::SEncParamExt, settings: VideoSettings, level: Level, qp: Qp) {
    let side = |pixels: u32| c_int::try_from(pixels).unwrap_or(c_int::MAX);
    // Rate control is off: the rate only serves the library's own check of the level. It knows 1–60.
    let frame_rate = (settings.frame_rate.as_f64() as f32).clamp(1.0, 60.0);

    parameters.iUsageType = sys::CAMERA_VIDEO_REAL_TIME;
    parameters.iPicWidth = side(settings.width);
    parameters.iPicHeight = side(settings.height);
    parameters.fMaxFrameRate = frame_rate;
    parameters.iRCMode = sys::RC_OFF_MODE;
    parameters.iTargetBitrate = NOMINAL_BITRATE;
    parameters.iMaxBitrate = sys::UNSPECIFIED_BIT_RATE as c_int;
    parameters.iTemporalLayerNum = 1;
    parameters.iSpatialLayerNum = 1;
    // Medium takes a sixth more CPU time and wins 0.04 dB at one per cent more bits: nothing at equal rate.
    parameters.iComplexityMode = sys::LOW_COMPLEXITY;
    parameters.iEntropyCodingModeFlag = 1; // CABAC
    parameters.iNumRefFrame = 1;
    // Key frames come when asked for, and with them always the same SPS and PPS.
    parameters.uiIntraPeriod = 0;
    parameters.eSpsPpsIdStrategy = sys::CONSTANT_ID;
    parameters.bPrefixNalAddingCtrl = false;
    parameters.bEnableSSEI = false;
    parameters.bSimulcastAVC = false;
    parameters.bEnableFrameCroppingFlag = true;
    // More than one slice or thread would let the machine have a say in the bits.
    parameters.iMultipleThreadIdc = 1;
    parameters.bUseLoadBalancing = false;
    // Whatever skips, replaces or reweighs pictures on its own is off.
    parameters.bEnableFrameSkip = false;
    parameters.bEnableSceneChangeDetect = false;
    parameters.bEnableBackgroundDetection = false;
    parameters.bEnableAdaptiveQuant = false;
    parameters.bEnableDenoise = false;
    parameters.bEnableLongTermReference = false;
    parameters.iLoopFilterDisableIdc = 0;

    let layer = &mut parameters.sSpatialLayers[0];
    layer.iVideoWidth = side(settings.width);
    layer.iVideoHeight = side(settings.height);
    layer.fFrameRate = frame_rate;
    layer.iSpatialBitrate = NOMINAL_BITRATE;
    layer.iMaxSpatialBitrate = sys::UNSPECIFIED_BIT_RATE as c_int;
    layer.uiProfileIdc = sys::PRO_HIGH;
    layer.uiLevelIdc = level.0.into();
    layer.iDLayerQp = qp.get().into();
    layer.sSliceArgument.uiSliceMode = sys::SM_SINGLE_SLICE;
    layer.sSliceArgument.uiSliceNum = 1;
    // VUI (H.264 annex E): BT.709 in all three, limited range, square pixels.
    layer.bVideoSignalTypePresent = true;
    layer.uiVideoFormat = sys::VF_UNDEF as u8;
    layer.bFullRange = false;
    layer.bColorDescriptionPresent = true;
    layer.uiColorPrimaries = sys::CP_BT709 as u8;
    layer.uiTransferCharacteristics = sys::TRC_BT709 as u8;
    layer.uiColorMatrix = sys::CM_BT709 as u8;
    layer.bAspectRatioPresent = true;
    layer.eAspectRatio = sys::ASP_1x1;
}
