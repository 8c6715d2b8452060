import {
  imageToMask,
  invertMask,
  joinImageWithAlpha,
  maskToImage,
  splitImageWithAlpha,
} from './alpha.ts';
import { saveAnimatedWebp } from './animation.ts';
import { emptyAudio, loadAudio, previewAudio, saveAudio } from './audio.ts';
import { loadImage, previewImage, saveImage } from './image.ts';
import {
  kSampler,
  seedVr2Conditioning,
  seedVr2PostProcessing,
  seedVr2Preprocess,
  seedVr2TemporalChunk,
  seedVr2TemporalMerge,
  unetLoader,
  vaeDecodeTiled,
  vaeEncodeTiled,
  vaeLoader,
} from './native-seedvr2.ts';
import type { NodeClass } from './node.ts';
import {
  emptyLatentImage,
  previewAny,
  saveGlb,
  saveLatent,
  saveSvg,
  saveText,
} from './other-results.ts';
import { emulatorValue, primitive } from './primitive.ts';
import { imageRotate } from './rotate.ts';
import { imageScale, imageScaleBy, imageScaleToTotalPixels, resizeImageMask } from './scale.ts';
import { seedVr2LoadDit, seedVr2LoadVae, seedVr2Upscale } from './seedvr2.ts';
import { emulatorSleep } from './sleep.ts';
import { imageUpscaleWithModel, upscaleModelLoader } from './upscale.ts';
import { vhsLoadVideo, vhsVideoCombine, vhsVideoInfoLoaded } from './vhs.ts';
import { vhsBatchManager } from './vhs-batch.ts';
import { createVideo, getVideoComponents, loadVideo, saveVideo } from './video.ts';

/** Every class of `object-info/`, by name. */
export const nodeClasses: Readonly<Record<string, NodeClass>> = {
  LoadImage: loadImage,
  SaveImage: saveImage,
  PreviewImage: previewImage,
  JoinImageWithAlpha: joinImageWithAlpha,
  SplitImageWithAlpha: splitImageWithAlpha,
  MaskToImage: maskToImage,
  ImageToMask: imageToMask,
  InvertMask: invertMask,
  UpscaleModelLoader: upscaleModelLoader,
  ImageUpscaleWithModel: imageUpscaleWithModel,
  ImageScale: imageScale,
  ImageScaleBy: imageScaleBy,
  ImageScaleToTotalPixels: imageScaleToTotalPixels,
  ImageRotate: imageRotate,
  ResizeImageMaskNode: resizeImageMask,
  LoadVideo: loadVideo,
  GetVideoComponents: getVideoComponents,
  CreateVideo: createVideo,
  SaveVideo: saveVideo,
  SeedVR2LoadDiTModel: seedVr2LoadDit,
  SeedVR2LoadVAEModel: seedVr2LoadVae,
  SeedVR2VideoUpscaler: seedVr2Upscale,
  UNETLoader: unetLoader,
  VAELoader: vaeLoader,
  SeedVR2Preprocess: seedVr2Preprocess,
  VAEEncodeTiled: vaeEncodeTiled,
  SeedVR2TemporalChunk: seedVr2TemporalChunk,
  SeedVR2Conditioning: seedVr2Conditioning,
  KSampler: kSampler,
  SeedVR2TemporalMerge: seedVr2TemporalMerge,
  VAEDecodeTiled: vaeDecodeTiled,
  SeedVR2PostProcessing: seedVr2PostProcessing,
  VHS_BatchManager: vhsBatchManager,
  VHS_LoadVideo: vhsLoadVideo,
  VHS_VideoInfoLoaded: vhsVideoInfoLoaded,
  VHS_VideoCombine: vhsVideoCombine,
  PrimitiveInt: primitive,
  PrimitiveFloat: primitive,
  PrimitiveString: primitive,
  PrimitiveStringMultiline: primitive,
  PrimitiveBoolean: primitive,
  EmulatorSleep: emulatorSleep,
  EmulatorValue: emulatorValue,
  SaveAnimatedWEBP: saveAnimatedWebp,
  LoadAudio: loadAudio,
  EmptyAudio: emptyAudio,
  SaveAudio: saveAudio('flac'),
  SaveAudioMP3: saveAudio('mp3'),
  SaveAudioOpus: saveAudio('opus'),
  PreviewAudio: previewAudio,
  EmptyLatentImage: emptyLatentImage,
  SaveLatent: saveLatent,
  SaveSVGNode: saveSvg,
  SaveGLB: saveGlb,
  PreviewAny: previewAny,
  SaveText: saveText,
};
