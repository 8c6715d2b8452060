/** VideoHelperSuite's loaders read a whole clip, as it is. */
export const vhsLoadsAsItIs = {
  force_rate: 0,
  custom_width: 0,
  custom_height: 0,
  frame_load_cap: 0,
  skip_first_frames: 0,
  select_every_nth: 1,
} as const;

/** What VHS_VideoCombine is given beside pictures and sound. */
export const vhsCombines = {
  frame_rate: 10,
  loop_count: 0,
  filename_prefix: 'out',
  format: 'video/h264-mp4',
  pingpong: false,
  save_output: true,
} as const;
