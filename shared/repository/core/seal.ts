// The end of an upload: what was written is checked, then the root says that the backup exists.

import { CorruptionError, TerminalError } from '#shared/kernel/errors.ts'
import type { BackupAbout } from '#shared/ports/mover.ts'
import { sealIndexRun } from '#shared/repository/format/index-run.ts'
import { indexKey, rootKey } from '#shared/repository/format/names.ts'
import { openRoot, openTombstone, type Root, sealRoot } from '#shared/repository/format/root.ts'
import { claimedKind } from '#shared/repository/format/sealed-object.ts'
import type { Checkpoints } from './checkpoints.ts'
import type { Outbox } from './outbox.ts'
import type { Repository } from './repository.ts'
import type { UploadState } from './upload-state.ts'
import { type Lost, verifyStored } from './verify-stored.ts'

export type SealContext = {
  repository: Repository
  session: string
  state: UploadState
  checkpoints: Checkpoints
  outbox: Outbox
  about: BackupAbout
  sealedMs: number
}

/**
 * Answers the root that stands: ours, or the one another holder of the same session sealed first. Or what was lost of what this
 * backup took over: nothing is written then.
 */
export async function sealUpload(context: SealContext): Promise<Root | Lost> {
  const { repository, session, state, outbox } = context
  const lost = await verifyStored(repository, session, state).catch((error: unknown) => asCorruption(error))
  // Of a session that was given up anything may be gone: nothing is wrong then.
  if (lost !== undefined) return (await readRoot(repository, session)) ?? (await told(context, lost))
  const { segments } = state.newChunks
  const run = sealIndexRun(repository.keys, session, segments, state.newChunks.encodeUnsegmented())
  await outbox.put(indexKey(session), run)
  await outbox.put(rootKey(session), sealRoot(repository.keys, session, rootOf(context)))
  // Read back in any case: what stands there counts, whoever wrote it.
  const root = await readRoot(repository, session)
  if (root === undefined) throw new CorruptionError('RootMissing', `${where(context)} was written and is not there`)
  return root
}

function asCorruption(error: unknown): CorruptionError {
  if (error instanceof CorruptionError) return error
  throw error
}

async function told({ checkpoints }: SealContext, lost: Lost | CorruptionError): Promise<Lost> {
  if (!(lost instanceof CorruptionError)) return lost
  // What the checkpoint takes for stored is not: the next slice must begin anew, or it would end here again.
  await checkpoints.removeAll()
  throw lost
}

/**
 * undefined: not sealed. TerminalError `SessionFenced`: given up or deleted, it can never be sealed. CorruptionError `RootCorrupt`, also of what only
 * claims to be a tombstone.
 */
export async function readRoot(repository: Repository, session: string): Promise<Root | undefined> {
  const { store, keys } = repository
  const key = rootKey(session)
  const bytes = await store.get(key)
  if (bytes === undefined) return undefined
  const where = `${store.location}/${key}`
  if (claimedKind(bytes) !== 'tombstone') return openRoot(keys, session, bytes, where)
  const { why } = openTombstone(keys, session, bytes, where)
  const words = why === 'forgotten' ? 'was deleted: no restore brings it back' : 'was given up, begin a new one'
  throw new TerminalError('SessionFenced', `backup ${session} in ${store.location} ${words}`)
}

function rootOf({ state, repository, about, sealedMs }: SealContext): Root {
  return {
    version: 1,
    capacityBytes: state.geometry.capacityBytes,
    chunkBytes: repository.config.chunkBytes,
    pageChunks: repository.config.pageChunks,
    about,
    parent: state.parent,
    mode: state.mode,
    stats: { ...state.stats },
    sealedMs,
    healed: state.healed,
    pages: state.pages,
  }
}

function where({ repository, session }: SealContext): string {
  return `${repository.store.location}/${rootKey(session)}`
}
