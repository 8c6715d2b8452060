/** The emulator lives on development dependencies. Where they are absent, it says so. */
const packages = [
  '@mediabunny/server',
  '@tensorflow/tfjs-backend-wasm',
  '@tensorflow/tfjs-core',
  '@tensorflow/tfjs-layers',
  '@upscalerjs/esrgan-slim',
];

const missing = packages.filter((name) => !isInstalled(name));
if (missing.length > 0) {
  throw new Error(
    `The emulator needs the development dependencies (missing: ${missing.join(', ')}): run npm ci without --omit=dev.`,
  );
}

function isInstalled(name: string): boolean {
  try {
    import.meta.resolve(name);
    return true;
  } catch {
    return false;
  }
}
