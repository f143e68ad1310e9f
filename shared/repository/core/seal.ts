// The end of an upload: checks what was written, then writes the root, which makes the backup exist.

import { randomBytes } from 'node:crypto'
import { CorruptionError, TerminalError } from '#shared/kernel/errors.ts'
import { NO_FEATURES } from '#shared/repository/format/features.ts'
import { sealIndexRun } from '#shared/repository/format/index-run.ts'
import { indexKey, packKey, rootKey } from '#shared/repository/format/names.ts'
import { PackBuilder, packBlob, packOverheadBytes } from '#shared/repository/format/pack.ts'
import { openRoot, openTombstone, type Root, sealRoot } from '#shared/repository/format/root.ts'
import { encodeRootCopy } from '#shared/repository/format/root-copy.ts'
import { claimedKind } from '#shared/repository/format/sealed-object.ts'
import type { Checkpoints } from './checkpoints.ts'
import type { NewChunks } from './new-chunks.ts'
import type { Outbox } from './outbox.ts'
import type { Repository } from './repository.ts'
import { type Lost, verifyStored } from './verify-stored.ts'

type SealContext = {
  repository: Repository
  session: string
  checkpoints: Checkpoints
  outbox: Outbox
  newChunks: NewChunks
  /** What the source has put together. Its pages name all packs that the backup needs. */
  backup: Pick<Root, 'about' | 'source' | 'parent' | 'stats' | 'healed' | 'pages'>
  sealedMs: number
}

/**
 * Returns the root at the session's key: this process's own, or the one that another holder of the same session sealed first. Returns
 * `Lost` if data that this backup took over from others is lost: then nothing is written.
 */
export async function sealBackup(context: SealContext): Promise<Root | Lost> {
  const { repository, session, newChunks, outbox } = context
  const lost = await verifyStored(repository, session, context.backup.pages).catch((error: unknown) =>
    asCorruption(error),
  )
  // Anything may be missing from a session that was given up: then this is not an error.
  if (lost !== undefined) return (await readRoot(repository, session)) ?? (await told(context, lost))
  const root = rootOf(context)
  await putCopy(context, root)
  const run = sealIndexRun(repository.keys, session, newChunks.segments, newChunks.encodeUnsegmented())
  await outbox.put(indexKey(session), run)
  await outbox.put(rootKey(session), sealRoot(repository.keys, session, root))
  // Read back in any case: the object at this key counts, whichever process wrote it.
  const standing = await readRoot(repository, session)
  if (standing === undefined) throw new CorruptionError('RootMissing', `${where(context)} was written and is not there`)
  return standing
}

/** In a pack of its own: if all of `roots/` is lost, `rebuildRoot` makes the root again from this copy. */
async function putCopy({ repository, session, outbox }: SealContext, root: Root): Promise<void> {
  const raw = encodeRootCopy(session, root)
  const blob = packBlob(raw)
  const ref = `${session}/${root.copy}`
  const pack = new PackBuilder(repository.keys, ref, Buffer.alloc(blob.bytes.length + packOverheadBytes(1)))
  pack.append('root', repository.keys.pageId(raw), blob)
  // The name is random. If it is taken, then by this very PUT, repeated after its answer was lost.
  await outbox.put(packKey(ref), pack.finish())
}

function asCorruption(error: unknown): CorruptionError {
  if (error instanceof CorruptionError) return error
  throw error
}

async function told({ checkpoints }: SealContext, lost: Lost | CorruptionError): Promise<Lost> {
  if (!(lost instanceof CorruptionError)) return lost
  // Data that the checkpoint records as stored is missing. The next slice must begin anew, or it would fail here again.
  await checkpoints.removeAll()
  throw lost
}

/**
 * undefined: not sealed. TerminalError `SessionFenced`: the session was given up or deleted and can never be sealed.
 * `RepositoryVersionUnknown`: see `openRoot`. CorruptionError `RootCorrupt`: also for an object that only claims to be a tombstone.
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

/** The stats do not count the root's copy, the index run and the root itself, because the copy must equal the root. */
function rootOf({ backup, sealedMs }: SealContext): Root {
  return {
    version: 1,
    ...NO_FEATURES,
    about: backup.about,
    source: backup.source,
    parent: backup.parent,
    stats: { ...backup.stats },
    sealedMs,
    healed: backup.healed,
    copy: randomBytes(8).toString('hex'),
    pages: backup.pages,
  }
}

function where({ repository, session }: SealContext): string {
  return `${repository.store.location}/${rootKey(session)}`
}
