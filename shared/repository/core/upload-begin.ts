// Before the first chunk: is the session still open, where did it get to, and from which map does it start?

import { CorruptionError, TerminalError } from '#shared/kernel/errors.ts'
import { SECTOR_BYTES } from '#shared/kernel/units.ts'
import type { UploadRequest } from '#shared/ports/mover.ts'
import type { Checkpoint } from '#shared/repository/format/checkpoint.ts'
import { sealSession } from '#shared/repository/format/markers.ts'
import { parseSession, sessionInKey, sessionKey } from '#shared/repository/format/names.ts'
import type { Root } from '#shared/repository/format/root.ts'
import type { Checkpoints } from './checkpoints.ts'
import { type Geometry, geometryOf } from './geometry.ts'
import { putOnce } from './put-once.ts'
import type { Repository } from './repository.ts'
import { readRetiredPacks } from './retired.ts'
import { readRoot } from './seal.ts'
import { UploadState } from './upload-state.ts'
import type { Warn } from './warn.ts'

export type Begun =
  | { kind: 'sealed'; root: Root }
  | { kind: 'unplanned' }
  | { kind: 'open'; state: UploadState; isFresh: boolean }

/**
 * `session/<S>` is written before the retire lists are read, and they before the parent: that order keeps garbage collection
 * safe. They are read once: what is retired later waits for this session, and what it found holds to its end.
 */
export async function beginUpload(
  repository: Repository,
  request: UploadRequest,
  checkpoints: Checkpoints,
  nowMs: number,
  warn: Warn,
): Promise<Begun> {
  checkRequest(request)
  const { session } = request
  const root = await readRoot(repository, session)
  if (root !== undefined) return { kind: 'sealed', root }
  await putOnce(repository.store, sessionKey(session), sealSession(repository.keys, session, nowMs))
  const geometry = geometryOf(request.capacityBytes, repository.config)
  const checkpoint = await checkpoints.newest()
  if (checkpoint !== undefined && fits(checkpoint, geometry)) {
    const unusable = checkpoint.unusable ?? (await unusableOfVersion1(repository, checkpoint, warn))
    if (unusable !== undefined) {
      return { kind: 'open', state: UploadState.resume(geometry, { ...checkpoint, unusable }), isFresh: false }
    }
  }
  if (request.changedAreas === 'not asked') return { kind: 'unplanned' }
  const retired = await readRetiredPacks(repository)
  const parent = await readParent(repository, request.parentRoot, warn)
  const changesOnly = Array.isArray(request.changedAreas) && parent?.root.capacityBytes === request.capacityBytes
  const state = UploadState.begin(geometry, changesOnly ? 'Changed' : 'Allocated', parent, retired)
  return { kind: 'open', state, isFresh: true }
}

/** It did not keep what was retired when it began. As long as its parent stands, nothing that this one names is gone; else undefined. */
async function unusableOfVersion1(
  repository: Repository,
  { parent }: Checkpoint,
  warn: Warn,
): Promise<ReadonlySet<string> | undefined> {
  const retired = await readRetiredPacks(repository)
  return parent === undefined || (await readParent(repository, parent, warn)) !== undefined ? retired : undefined
}

/** A parent that is gone or cannot be read costs time, not the backup: all that is allocated is looked at instead. */
async function readParent(
  repository: Repository,
  key: string | undefined,
  warn: Warn,
): Promise<{ key: string; root: Root } | undefined> {
  const session = key === undefined ? undefined : sessionInKey(key)
  if (key === undefined || session === undefined) return undefined
  try {
    const root = await readRoot(repository, session)
    if (root !== undefined) return { key, root }
    warn('ParentMissing', `parent ${key} is gone, the backup starts without it`)
  } catch (error) {
    if (!(error instanceof TerminalError)) throw error
    const reason = error instanceof CorruptionError ? error.reason : 'ParentMissing'
    warn(reason, `parent ${key} cannot be used, the backup starts without it: ${error.message}`)
  }
  return undefined
}

/** A plan of changes is made in one go; without all of it, a checkpoint would pass off the parent as this backup. */
function fits({ capacityBytes, plan, pages, mode, plannedPages }: Checkpoint, geometry: Geometry): boolean {
  const isSameVolume = capacityBytes === geometry.capacityBytes && plan.length === geometry.chunkCount
  const isPlanned = mode !== 'Changed' || plannedPages === geometry.pageCount
  return isSameVolume && isPlanned && pages.length === geometry.pageCount
}

function checkRequest({ session, capacityBytes }: UploadRequest): void {
  if (parseSession(session) === undefined) {
    throw new TerminalError('SessionInvalid', `${JSON.stringify(session)} is no session id`)
  }
  if (!(capacityBytes > 0) || capacityBytes % SECTOR_BYTES !== 0) {
    throw new TerminalError('CapacityInvalid', `a volume of ${capacityBytes} bytes is not in whole sectors`)
  }
}
