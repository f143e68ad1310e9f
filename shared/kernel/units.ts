// Sizes and durations by name, so that no bare number needs a comment.

export const KiB = 1024
export const MiB = 1024 * KiB
export const GiB = 1024 * MiB
/** The unit of VDDK's offsets and lengths. */
export const SECTOR_BYTES = 512

export const SECOND_MS = 1000
export const MINUTE_MS = 60 * SECOND_MS
export const HOUR_MS = 60 * MINUTE_MS
export const DAY_MS = 24 * HOUR_MS
