import { loadImage, previewImage, saveImage } from './image.ts';
import type { NodeClass } from './node.ts';
import { imageScale, imageScaleBy } from './scale.ts';
import { seedVr2LoadDit, seedVr2LoadVae, seedVr2Upscale } from './seedvr2.ts';
import { emulatorSleep } from './sleep.ts';
import { imageUpscaleWithModel, upscaleModelLoader } from './upscale.ts';
import { vhsLoadVideo, vhsVideoCombine, vhsVideoInfoLoaded } from './vhs.ts';
import { createVideo, getVideoComponents, loadVideo, saveVideo } from './video.ts';

/** Every class of `object-info/`, by name. */
export const nodeClasses: Readonly<Record<string, NodeClass>> = {
  LoadImage: loadImage,
  SaveImage: saveImage,
  PreviewImage: previewImage,
  UpscaleModelLoader: upscaleModelLoader,
  ImageUpscaleWithModel: imageUpscaleWithModel,
  ImageScale: imageScale,
  ImageScaleBy: imageScaleBy,
  LoadVideo: loadVideo,
  GetVideoComponents: getVideoComponents,
  CreateVideo: createVideo,
  SaveVideo: saveVideo,
  SeedVR2LoadDiTModel: seedVr2LoadDit,
  SeedVR2LoadVAEModel: seedVr2LoadVae,
  SeedVR2VideoUpscaler: seedVr2Upscale,
  VHS_LoadVideo: vhsLoadVideo,
  VHS_VideoInfoLoaded: vhsVideoInfoLoaded,
  VHS_VideoCombine: vhsVideoCombine,
  EmulatorSleep: emulatorSleep,
};
