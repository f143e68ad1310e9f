// An environment in which the real Velero has the plugin as it is shipped, and helpers of its tests.

import { readFile } from 'node:fs/promises'
import * as assert from 'uvu/assert'
import { KINDS, type KindName } from '#shared/api/kinds.ts'
import { operationMark } from '#shared/domain/velero.ts'
import type { DormouseError } from '#shared/kernel/errors.ts'
import type { Repository } from '#shared/repository/core/repository.ts'
import { readRoot } from '#shared/repository/core/seal.ts'
import { unreachableObjects } from '#shared/repository/maintenance/prune.ts'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { until } from '#test/environment/fixtures/echo/start.ts'
import type { EnvironmentOptions } from '#test/environment/options.ts'
import { noise, writePieces } from '#test/environment/storage/content.ts'
import { openRepository } from '#test/environment/storage/repository.ts'
import type { NewVolume, Volume } from '#test/environment/storage/volume.ts'
import { VELERO_PREFIX } from '#test/environment/velero/start.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { atWork } from '../../crash/leftovers.ts'
import { builtPlugin } from './plugin-file.ts'

const MIB = 2 ** 20

/** Short back-off and sweep; `velero.flags` override the server's defaults for tests. */
export async function startWithPlugin({ env, velero, ...options }: EnvironmentOptions = {}): Promise<Environment> {
  return await startEnvironment({
    faults: true,
    // Starting a function again costs more than keeping one running.
    idleMs: 60_000,
    ...options,
    pingEveryMs: { 'dormouse-sweep': 5000, 'dormouse-maintenance': 0, ...options.pingEveryMs },
    env: { DORMOUSE_BACKOFF_UNIT_SECONDS: '1', DORMOUSE_LEASE_SECONDS: '10', ...env },
    velero: { plugins: [builtPlugin()], ...velero },
  })
}

/** A bound claim of `namespace` with some data of its own. */
export async function aFilledVolume(
  environment: Environment,
  namespace: string,
  name: string,
  more: Partial<NewVolume> = {},
): Promise<Volume> {
  const volume = await environment.createVolume({ namespace, name, sizeBytes: 16 * MIB, ...more })
  await writePieces(volume.file, [{ offsetBytes: 3 * MIB, data: noise(`${namespace}/${name}`, 6 * MIB) }])
  return volume
}

type Run = 'Backup' | 'Restore' | 'Schedule' | 'DeleteBackupRequest'

export async function runOf(environment: Environment, kind: Run, name: string): Promise<LooseObject | undefined> {
  return await environment.api.get({ apiVersion: 'velero.io/v1', kind, namespace: 'velero', name })
}

export async function phaseOf(environment: Environment, kind: Run, name: string): Promise<string> {
  return (await runOf(environment, kind, name))?.['status']?.phase ?? 'New'
}

/** @throws AssertionError with Velero's own messages: the reason in the object, and the errors in the server's log */
export async function assertCompleted(
  environment: Environment,
  kind: 'Backup' | 'Restore',
  name: string,
): Promise<void> {
  const { phase = 'New', failureReason = '' } = (await runOf(environment, kind, name))?.['status'] ?? {}
  if (phase === 'Completed') return
  assert.unreachable(`${kind} ${name} is ${phase} ${failureReason}\n${await errorsOf(environment, name)}`)
}

const SHOWN_ERRORS = 10

/** The last lines above the level info in the Velero server's log that name this run. */
async function errorsOf({ parts: { velero } }: Environment, name: string): Promise<string> {
  const lines = velero === undefined ? [] : (await readFile(velero.logFile, 'utf8')).split('\n')
  return lines
    .filter((line) => /level="?(warning|error|fatal)/.test(line) && line.includes(name))
    .slice(-SHOWN_ERRORS)
    .join('\n')
}

export async function untilPhase(
  environment: Environment,
  kind: Run,
  name: string,
  phases: RegExp,
  limitMs = 60_000,
): Promise<string> {
  await until(
    `${kind} ${name} is ${phases}`,
    async () => phases.test(await phaseOf(environment, kind, name)),
    limitMs,
  ).catch(async (error: Error) => {
    throw new Error(`${error.message}; it is ${await phaseOf(environment, kind, name)}`, { cause: error })
  })
  return await phaseOf(environment, kind, name)
}

export const OVER = /^(Completed|PartiallyFailed|Failed|FailedValidation)$/

export async function listOf(environment: Environment, kind: KindName, namespace?: string): Promise<LooseObject[]> {
  return await environment.api.list(KINDS[kind].apiVersion, kind, namespace)
}

export type Hold = { held: () => number; release: () => void }

/** Holds every PUT of data by an upload until `release`; Velero's own calls pass. */
export function holdUploads(environment: Environment): Hold {
  return holdStore(environment, /^upload mover: PUT (?!config)/)
}

/** Holds those calls of the object store until `release`. */
export function holdStore(environment: Environment, match: string | RegExp): Hold {
  let held = 0
  const { promise, resolve } = Promise.withResolvers<void>()
  const hold = async () => {
    held++
    await promise
  }
  const { plan } = environment.parts.faults!
  const rule = plan.add({ match, server: 's3', times: Number.POSITIVE_INFINITY, before: hold })
  return {
    held: () => held,
    release: () => {
      rule.remove()
      resolve()
    },
  }
}

/**
 * Checks that no function works, vCenter has no disk snapshot, and after a prune the bucket holds only what backups reach that Velero knows.
 */
export async function assertNothingLeft(environment: Environment): Promise<void> {
  const repository = await repositoryIn(environment)
  const unclaimed = async () => (repository === undefined ? [] : await unclaimedBackups(environment, repository))
  const left = async () => [...(await atWork(environment)), ...(await unclaimed())]
  const isQuiet = async () => (await left()).length === 0
  await until('nobody works', isQuiet, 60_000).catch(async () => assert.equal(await left(), []))
  const { fcds } = await environment.vcenterState()
  assert.equal(
    fcds.flatMap(({ snapshots }) => snapshots),
    [],
    'a disk snapshot is left',
  )
  assert.equal(await environment.heldDisks(), [], 'a disk is still kept from migrating')
  if (repository !== undefined) assert.equal(await unreachableAfterPrune(environment, repository), [])
}

/** undefined: nothing was ever stored. */
async function repositoryIn(environment: Environment): Promise<Repository | undefined> {
  return await openRepository(environment, VELERO_PREFIX).catch((error: DormouseError) => {
    if (error.reason === 'RepositoryMissing') return undefined
    throw error
  })
}

/** Whether the bucket holds the data of that Backup. */
export async function hasData(environment: Environment, backupName: string): Promise<boolean> {
  const repository = await openRepository(environment, VELERO_PREFIX)
  const ofBackup = (await listOf(environment, 'Snapshot')).filter(
    ({ metadata }) => metadata.labels?.['velero.io/backup-name'] === backupName,
  )
  assert.ok(ofBackup.length > 0, `no Snapshot of Backup ${backupName} is on record`)
  const uploads = await uploadsOf(environment, ofBackup)
  const sealed = await Promise.all(uploads.map(async (upload) => await isSealed(repository, upload)))
  return sealed.includes(true)
}

async function uploadsOf(environment: Environment, snapshots: LooseObject[]): Promise<LooseObject[]> {
  const names = new Set(snapshots.map(({ metadata: { namespace, name } }) => `${namespace}/${name}`))
  return (await listOf(environment, 'Upload')).filter((upload) => names.has(upload['spec'].snapshotReference))
}

/** Backups in the bucket that no tarball names: Velero has never asked about them. */
async function unclaimedBackups(environment: Environment, repository: Repository): Promise<string[]> {
  const snapshots = await listOf(environment, 'Snapshot')
  const ofThem = await uploadsOf(
    environment,
    snapshots.filter((snapshot) => operationMark(snapshot) !== 'known'),
  )
  const sealed = await Promise.all(ofThem.map(async (upload) => await isSealed(repository, upload)))
  return ofThem.filter((_, index) => sealed[index]).map(({ metadata }) => `the data of Upload ${metadata.name}`)
}

async function isSealed(repository: Repository, { status }: LooseObject & { status?: { session?: string } }) {
  if (status?.session === undefined) return false
  return await readRoot(repository, status.session).then(
    (root) => root !== undefined,
    (error: DormouseError) => {
      if (error.reason === 'SessionFenced') return false
      throw error
    },
  )
}

/** Runs maintenance until nothing is left over, but only a few times. */
async function unreachableAfterPrune(environment: Environment, repository: Repository): Promise<string[]> {
  let left: string[] = []
  for (let run = 0; run < 4; run++) {
    await environment.ping('dormouse-maintenance')
    const isEmpty = async () => {
      left = await unreachableObjects(repository)
      return left.length === 0
    }
    if (
      await until('nothing is left over', isEmpty, 10_000).then(
        () => true,
        () => false,
      )
    )
      return []
  }
  return left
}
