// The port Repositories: the operations on a repository that need no disk.

import { createHash } from 'node:crypto'
import type { Clock } from '#shared/kernel/clock.ts'
import { CorruptionError, TerminalError } from '#shared/kernel/errors.ts'
import { MiB } from '#shared/kernel/units.ts'
import type {
  BackupSummary,
  BlockSource,
  FoundRoot,
  RecoveryChoice,
  Repositories,
  RepositoryAccess,
  RepositoryState,
  SourcePoint,
} from '#shared/ports/mover.ts'
import type { ObjectStore } from '#shared/ports/object-store.ts'
import { flooded } from '#shared/ports/repository-bounds.ts'
import { Checkpoints } from '#shared/repository/core/checkpoints.ts'
import { probeConditionalPut } from '#shared/repository/core/conditional-put.ts'
import { fenceSession, MOST_ROUNDS, unconfirmed } from '#shared/repository/core/fence.ts'
import { inParallel } from '#shared/repository/core/in-parallel.ts'
import {
  addRecoverySlot,
  createRepository,
  KeyCache,
  missing,
  type OpenedRepository,
  openRepository,
  type Repository,
  requireRepository,
} from '#shared/repository/core/repository.ts'
import { hasCheckpoint, keptName, nameForNext } from '#shared/repository/core/unfinished.ts'
import type { Warn } from '#shared/repository/core/warn.ts'
import { formatSession, parseSession, rootKey, sessionInKey, sessionKey } from '#shared/repository/format/names.ts'
import { openRoot, openTombstone, type Root } from '#shared/repository/format/root.ts'
import { claimedKind, SEALED_PREFIX_BYTES } from '#shared/repository/format/sealed-object.ts'
import type { ScryptCost } from '#shared/repository/format/slot-fields.ts'
import { pruneRepository } from '#shared/repository/maintenance/prune.ts'

type RepositoriesOptions = {
  storeOf: (access: RepositoryAccess) => ObjectStore
  clock: Clock
  /** For repositories that are created: a power of two from 256 KiB to 4 MiB. */
  chunkBytes?: number
  /** Smaller only in tests. */
  pageChunks?: number
  scrypt?: ScryptCost
  warn?: Warn
  /**
   * Reads the source of a root, for the only kind of source that this port reports. Throws as `blockSourceOf` of shared/movers/block
   * does.
   */
  sourceOf: (root: Root, where: string) => BlockSource
}

const PARALLEL_READS = 8
/** Roots of one volume: a backup each hour for ten years. */
const MOST_ROOTS = 100_000
/** Roots of one snapshot, together. */
const MOST_ROOT_BYTES = 128 * MiB

export function createRepositories(options: RepositoriesOptions): Repositories {
  const keyCache = new KeyCache()
  const open = (access: RepositoryAccess) =>
    requireRepository(options.storeOf(access), access.password, keyCache, access.repositoryId)
  return {
    ensure: (access, recovery, onOpened) => ensure(options, keyCache, access, recovery, onOpened),
    inspect: async (access) => {
      const repository = await open(access)
      return stateOf(repository, {
        created: false,
        recoverySlot: hasRecoverySlot(repository),
        conditionalPut: undefined,
      })
    },
    newSessionId: async (access, point, attempt) => newSessionId(await open(access), point, attempt),
    backupsOf: async (access, sourceId) => {
      const repository = await open(access)
      const names = await rootNames(repository, `${repository.keys.volumeTag(sourceId)}-`)
      // Opened one by one: all roots of a volume together do not fit into a small function.
      const found = await inParallel(names, PARALLEL_READS, async (name) => {
        const root = await standingRoot(repository, name, options.warn)
        return root === undefined ? [] : readable(options, repository, root, summaryOf)
      })
      return found.flat()
    },
    find: async (access, sourceId, snapshotId) => {
      const repository = await open(access)
      for (const name of await rootNames(repository, snapshotPrefix(repository, sourceId, snapshotId))) {
        const newest = await standingRoot(repository, name)
        if (newest !== undefined) return summaryOf(options, repository, newest)
      }
      return undefined
    },
    rootsOf: async (access, sourceId, snapshotId) => {
      const repository = await open(access)
      const roots = await rootsBelow(repository, snapshotPrefix(repository, sourceId, snapshotId))
      return roots.map((root) => foundRoot(options, repository, root))
    },
    forget: async (access, sourceId, snapshotId, only) => {
      const repository = await open(access)
      const prefix = snapshotPrefix(repository, sourceId, snapshotId)
      const may = (key: string) => only === undefined || only.includes(key)
      const roots = (await rootsBelow(repository, prefix)).filter(({ key }) => may(key))
      for (const root of roots) await forgetRoot(repository, root, options.clock)
      await fenceSessionsBelow(options, repository, prefix, may)
      return roots.length > 0
    },
    abandon: async (access, session) => abandon(options, await open(access), session),
    leavesCheckpoint: async (access, session) => hasCheckpoint(await open(access), session),
    prune: async (access, { sliceMs, sessionIdleMs, signal }) => {
      const repository = await open(access)
      const { clock, warn } = options
      const report = await pruneRepository(repository, { clock, sliceMs, sessionIdleMs, signal, warn })
      return { ...report, damagedSlots: repository.damagedSlots }
    },
  }
}

async function ensure(
  { storeOf, chunkBytes, pageChunks, scrypt }: RepositoriesOptions,
  keyCache: KeyCache,
  access: RepositoryAccess,
  recovery: RecoveryChoice | undefined,
  onOpened?: (repositoryId: string) => Promise<void>,
): Promise<RepositoryState> {
  const store = storeOf(access)
  const conditionalPut = await probeConditionalPut(store)
  const existing = await openRepository(store, access.password, keyCache, access.repositoryId)
  if (existing === undefined && access.repositoryId !== undefined) throw missing(store)
  const { repository, created } =
    existing === undefined
      ? await createRepository(store, access.password, recovery, { chunkBytes, pageChunks, scrypt, keyCache })
      : { repository: existing, created: false }
  let recoverySlot = hasRecoverySlot(repository)
  if (!recoverySlot && recovery !== undefined) {
    await onOpened?.(repository.config.repositoryId)
    await addRecoverySlot(store, repository.keys, recovery, scrypt)
    recoverySlot = true
  }
  return stateOf(repository, { created, recoverySlot, conditionalPut })
}

function stateOf(
  { config, damagedSlots }: OpenedRepository,
  state: Omit<RepositoryState, 'repositoryId' | 'damagedSlots'>,
): RepositoryState {
  return { repositoryId: config.repositoryId, damagedSlots, ...state }
}

function hasRecoverySlot({ slots }: OpenedRepository): boolean {
  return [...slots.values()].some(({ kind }) => kind !== 'password')
}

/** The same backup and attempt give the same id, so that a caller that died before it recorded the id gets it again. */
function newSessionId({ keys }: Repository, point: SourcePoint, attempt: string): string {
  return formatSession({
    volumeTag: keys.volumeTag(point.sourceId),
    snapshotTag: keys.snapshotTag(point.sourceId, point.snapshotId),
    startedMs: point.createdMs,
    attempt: createHash('sha256').update(attempt, 'utf8').digest('hex').slice(0, 8),
  })
}

function snapshotPrefix({ keys }: Repository, sourceId: string, snapshotId: string): string {
  return `${keys.volumeTag(sourceId)}-${keys.snapshotTag(sourceId, snapshotId)}-`
}

type StandingRoot = { key: string; session: string; bytes: Uint8Array }

type RootName = { key: string; session: string; startedMs: number; bytes: number }

/** Newest first. */
async function rootNames({ store }: Repository, sessionPrefix: string): Promise<RootName[]> {
  const names: RootName[] = []
  for await (const { key, bytes } of store.list(rootKey(sessionPrefix))) {
    const session = sessionInKey(key)
    if (session !== undefined) names.push({ key, session, startedMs: parseSession(session)?.startedMs ?? 0, bytes })
    if (names.length > MOST_ROOTS) throw flooded(`${store.location}/${rootKey(sessionPrefix)}`, `${MOST_ROOTS} backups`)
  }
  return names.sort((a, b) => b.startedMs - a.startedMs)
}

/** undefined: a tombstone, or a root that was removed after the LIST. With `warn`, also a root that is too large or does not open. */
async function standingRoot(
  { store, keys }: Repository,
  { key, session }: RootName,
  warn?: Warn,
): Promise<StandingRoot | undefined> {
  try {
    const bytes = await store.get(key)
    if (bytes === undefined) return undefined
    if (claimedKind(bytes) !== 'tombstone') return { key, session, bytes }
    openTombstone(keys, session, bytes, `${store.location}/${key}`)
    return undefined
  } catch (error) {
    if (warn === undefined || !(error instanceof CorruptionError)) throw error
    warn(error.reason, error.message)
    return undefined
  }
}

/** The roots of one snapshot, newest first: one, or a few where attempts overlapped. */
async function rootsBelow(repository: Repository, sessionPrefix: string): Promise<StandingRoot[]> {
  const names = await rootNames(repository, sessionPrefix)
  const sumBytes = names.reduce((sum, { bytes }) => sum + bytes, 0)
  if (sumBytes > MOST_ROOT_BYTES) {
    throw flooded(`${repository.store.location}/${rootKey(sessionPrefix)}`, `${sumBytes} bytes of roots`)
  }
  const roots = await inParallel(names, PARALLEL_READS, (name) => standingRoot(repository, name))
  return roots.filter((root) => root !== undefined)
}

type Read<T> = (options: RepositoriesOptions, repository: Repository, root: StandingRoot) => T

const rootOf: Read<Root> = (_, { store, keys }, { key, session, bytes }) =>
  openRoot(keys, session, bytes, `${store.location}/${key}`)

const summaryOf: Read<BackupSummary> = (options, repository, standing) => {
  const root = rootOf(options, repository, standing)
  const source = options.sourceOf(root, `${repository.store.location}/${standing.key}`)
  return { root: standing.key, about: root.about, source }
}

const foundRoot: Read<FoundRoot> = (options, repository, standing) => {
  const [root] = readable(options, repository, standing, rootOf)
  return { root: standing.key, session: standing.session, about: root?.about }
}

/**
 * A root that does not open, or that a newer version wrote, must not hide the others, nor block the next backup. A call that asks for
 * that backup alone (`find`) throws instead.
 */
function readable<T>(options: RepositoriesOptions, repository: Repository, root: StandingRoot, read: Read<T>): T[] {
  try {
    return [read(options, repository, root)]
  } catch (error) {
    if (!(error instanceof CorruptionError) && !isVersionUnknown(error)) throw error
    options.warn?.(error.reason, error.message)
    return []
  }
}

const isVersionUnknown = (error: unknown): error is TerminalError =>
  error instanceof TerminalError && error.reason === 'RepositoryVersionUnknown'

/**
 * Removes the root and puts a tombstone in its place: otherwise a holder of the same session that was believed dead could seal it once
 * more. A root that is written between the two steps is removed as well. An existing tombstone is never removed, and only reading one
 * ends the loop.
 */
async function forgetRoot(
  { store, ...rest }: Repository,
  { key, session }: Pick<StandingRoot, 'key' | 'session'>,
  clock: Clock,
): Promise<void> {
  const repository = { store, ...rest }
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const standing = await store.getRange(key, 0, SEALED_PREFIX_BYTES)
    // Decided by what is at the key, not by the answers to PUT and DELETE.
    if (standing !== undefined && claimedKind(standing) === 'tombstone') return
    if (standing !== undefined) await store.delete(key)
    await fenceSession(repository, session, 'forgotten', clock.nowMs())
  }
  throw unconfirmed(repository, key)
}

/**
 * If a process died between the two steps of forgetRoot, there is neither a root nor a tombstone, but the session's marker still shows
 * the session. A root that exists by now and may not be forgotten stays.
 */
async function fenceSessionsBelow(
  { clock, warn = () => {} }: RepositoriesOptions,
  repository: Repository,
  prefix: string,
  may: (root: string) => boolean,
): Promise<void> {
  for await (const { key } of repository.store.list(sessionKey(prefix))) {
    const session = sessionInKey(key)
    if (session === undefined) continue
    if (await fenceSession(repository, session, 'forgotten', clock.nowMs())) {
      // No backup may continue from a deleted one, whether the session was given up earlier or just now.
      await new Checkpoints(repository, session, 0, warn).removeAll()
      continue
    }
    const root = rootKey(session)
    if (may(root)) await forgetRoot(repository, { key: root, session }, clock)
  }
}

/**
 * false: the session was already sealed, and its backup exists. The session's marker and newest checkpoint are left to garbage
 * collection: the volume's next backup continues from that checkpoint.
 */
async function abandon(
  { clock, warn = () => {} }: RepositoriesOptions,
  repository: Repository,
  session: string,
): Promise<boolean> {
  if (parseSession(session) === undefined) {
    throw new TerminalError('SessionInvalid', `${JSON.stringify(session)} is no session id`)
  }
  const newest = await nameForNext(repository, session)
  const fenced = await fenceSession(repository, session, 'abandoned', clock.nowMs(), newest)
  // The session may have been given up before: then the checkpoint named at that time counts.
  await new Checkpoints(repository, session, 0, warn).removeAll(await keptName(repository, session))
  return fenced
}
