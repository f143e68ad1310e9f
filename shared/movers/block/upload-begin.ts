// Runs before the first chunk: finds out whether the session is still open, how far it has got, and from which map it starts.

import { TerminalError } from '#shared/kernel/errors.ts'
import { SECTOR_BYTES } from '#shared/kernel/units.ts'
import type { UploadRequest } from '#shared/ports/mover.ts'
import type { Checkpoints } from '#shared/repository/core/checkpoints.ts'
import { putOnce } from '#shared/repository/core/put-once.ts'
import type { Repository } from '#shared/repository/core/repository.ts'
import { readRetiredPacks } from '#shared/repository/core/retired.ts'
import { readRoot } from '#shared/repository/core/seal.ts'
import type { Warn } from '#shared/repository/core/warn.ts'
import { sealSession } from '#shared/repository/format/markers.ts'
import { parseSession, rootKey, sessionInKey, sessionKey } from '#shared/repository/format/names.ts'
import type { Root } from '#shared/repository/format/root.ts'
import { decodeProgress } from './block-checkpoint.ts'
import { type BlockRoot, blockSourceOf } from './block-source.ts'
import { geometryOf } from './geometry.ts'
import { type ParentBackup, UploadState } from './upload-state.ts'

type Begun =
  | { kind: 'sealed'; root: Root; source: BlockRoot }
  | { kind: 'unplanned' }
  | { kind: 'open'; state: UploadState; isFresh: boolean }

/**
 * `session/<S>` is written before the retire lists are read, and those are read before the parent: this order keeps garbage collection
 * safe. The lists are read once: packs that are retired later wait for this session, and what the first read found stays valid until it
 * ends.
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
  if (root !== undefined) return { kind: 'sealed', root, source: sourceOf(repository, session, root) }
  await putOnce(repository.store, sessionKey(session), sealSession(repository.keys, session, nowMs))
  const geometry = geometryOf(request.capacityBytes, repository.config)
  const checkpoint = await checkpoints.newest()
  const progress = checkpoint && decodeProgress(geometry, checkpoint)
  if (checkpoint !== undefined && progress !== undefined) {
    return { kind: 'open', state: UploadState.resume(geometry, checkpoint, progress), isFresh: false }
  }
  if (request.changedAreas === 'not asked') return { kind: 'unplanned' }
  const retired = await readRetiredPacks(repository)
  const parent = await readParent(repository, request.parentRoot, warn)
  const changesOnly = Array.isArray(request.changedAreas) && parent?.capacityBytes === request.capacityBytes
  const state = UploadState.begin(geometry, changesOnly ? 'Changed' : 'Allocated', parent, retired)
  return { kind: 'open', state, isFresh: true }
}

/** A parent that is gone or cannot be read costs time, but not the backup: everything that is allocated is read instead. */
async function readParent(
  repository: Repository,
  key: string | undefined,
  warn: Warn,
): Promise<ParentBackup | undefined> {
  const session = key === undefined ? undefined : sessionInKey(key)
  if (key === undefined || session === undefined) return undefined
  try {
    const root = await readRoot(repository, session)
    if (root !== undefined) {
      const { capacityBytes } = sourceOf(repository, session, root)
      return { key, pages: root.pages, capacityBytes }
    }
    warn('ParentMissing', `parent ${key} is gone, the backup starts without it`)
  } catch (error) {
    if (!(error instanceof TerminalError)) throw error
    const reason = error.reason === 'SessionFenced' ? 'ParentMissing' : error.reason
    warn(reason, `parent ${key} cannot be used, the backup starts without it: ${error.message}`)
  }
  return undefined
}

function sourceOf({ store }: Repository, session: string, root: Root): BlockRoot {
  return blockSourceOf(root, `${store.location}/${rootKey(session)}`)
}

function checkRequest({ session, capacityBytes }: UploadRequest): void {
  if (parseSession(session) === undefined) {
    throw new TerminalError('SessionInvalid', `${JSON.stringify(session)} is no session id`)
  }
  if (!(capacityBytes > 0) || capacityBytes % SECTOR_BYTES !== 0) {
    throw new TerminalError('CapacityInvalid', `a volume of ${capacityBytes} bytes is not in whole sectors`)
  }
}
