// What a restore has made: a volume for its staging claim.

import type { PersistentVolume } from '#shared/api/types.ts'

/** A volume that was provisioned for the staging claim of that UID, and its disk. */
export type Staged = { volume: PersistentVolume; claimUID: string; namespace: string; fcdId: string }
