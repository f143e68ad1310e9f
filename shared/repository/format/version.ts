// The numbers that identify format 1. They must never change, because repositories contain them: add a new version instead.

import { KiB, MiB } from '#shared/kernel/units.ts'

export const FORMAT_VERSION = 1
/** First four bytes of every AEAD's additional data. */
export const AAD_MARK = 'DORM'
/** First line of the text that the config's MAC covers, and `format` in the config itself. */
export const CONFIG_MARK = 'dormouse-repository'
/** `format` in a key slot, and the first line of the text that its MAC covers. */
export const SLOT_MARK = `${CONFIG_MARK}-key`
export const OBJECT_MAGIC = 'DORMOBJ1'
export const PACK_MAGIC = 'DORMPAK1'
export const PACK_TRAILER_MAGIC = 'DORMEND1'

export const ID_BYTES = 16
export const SALT_BYTES = 32
export const TAG_BYTES = 16

/** The default when Dormouse creates a repository. Readers accept any power of two from 4 KiB on. */
export const DEFAULT_CHUNK_BYTES = 512 * KiB
export const MAX_CHUNK_BYTES = 4 * MiB
export const READABLE_CHUNK_BYTES = 4 * KiB

/** Chunks per leaf page of the map: 2 GiB of volume at the default chunk size. */
export const DEFAULT_PAGE_CHUNKS = 4096
export const READABLE_PAGE_CHUNKS = 16
