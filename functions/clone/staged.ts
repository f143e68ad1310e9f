// The result of provisioning: a volume for the staging claim.

import type { PersistentVolume } from '#shared/api/types.ts'

/** A volume that was provisioned for the staging claim with that UID, and its disk. */
export type Staged = { volume: PersistentVolume; claimUID: string; namespace: string; fcdId: string }
