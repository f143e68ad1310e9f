// Who may use a repository: the namespaces that it allows, and the state of the BackupStorageLocation in its parameters.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { accessOfClaimed, accessOfRepository } from '#shared/controllers/repository-access.ts'
import { requireAllowed } from '#shared/controllers/repository-permit.ts'
import { systemClock } from '#shared/kernel/clock.ts'
import { readSettings } from '#shared/kernel/env.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import { s3 } from '#shared/repository/stores/s3/kind.ts'
import { reasonOf } from '#test/support/reason.ts'
import { stores } from '#test/support/stores.ts'

const test = suite('who may use a repository')

const silent = { debug() {}, info() {}, warn() {}, error() {} }
const PARAMETERS = { bucket: 'backups', backupStorageLocation: 'default' }

type World = { accessMode?: string; location?: boolean; allowed?: string[]; parameters?: Record<string, string> }

function aWorld({ accessMode, location = true, allowed = [], parameters = PARAMETERS }: World = {}): StepDeps {
  const cluster = new MemoryCluster({ clock: systemClock })
  const apiVersion = 'backupdriver.cnsdp.vmware.com/v1alpha1'
  cluster.seed('BackupRepository', {
    apiVersion,
    kind: 'BackupRepository',
    metadata: { name: 'br-1' },
    allowedNamespaces: allowed,
    repositoryDriver: s3.driver,
    repopsitoryParameters: parameters,
  })
  cluster.seed('Secret', {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'dormouse-repository-key', namespace: 'velero' },
    data: { password: Buffer.from('secret').toString('base64') },
  })
  if (location)
    cluster.seed('BackupStorageLocation', {
      apiVersion: 'velero.io/v1',
      kind: 'BackupStorageLocation',
      metadata: { name: 'default', namespace: 'velero' },
      spec: { provider: 'aws', objectStorage: { bucket: 'backups' }, ...(accessMode ? { accessMode } : {}) },
    })
  return { cluster, clock: systemClock, settings: readSettings({}), stores, identity: 'pod-1', log: silent }
}

async function claimedIn(deps: StepDeps) {
  const repository = await deps.cluster.read('BackupRepository', undefined, 'br-1')
  return await accessOfClaimed(deps, repository!)
}

test('a location that is ReadOnly or gone takes no writes, and serves restores', async () => {
  const cases: [World, write: string][] = [
    [{}, 'none'],
    [{ accessMode: 'ReadWrite' }, 'none'],
    [{ accessMode: 'ReadOnly' }, 'LocationReadOnly'],
    [{ location: false }, 'LocationMissing'],
    [{ location: false, parameters: { bucket: 'backups' } }, 'none'],
  ]
  for (const [world, wanted] of cases) {
    const deps = aWorld(world)
    assert.is(await reasonOf(accessOfRepository(deps, 'br-1', 'write')), wanted)
    assert.is(await reasonOf(accessOfRepository(deps, 'br-1')), 'none')
  }
})

test('a claim shows that its location is gone, and that it is ReadOnly', async () => {
  const { readOnly } = await claimedIn(aWorld({ accessMode: 'ReadOnly' }))
  assert.is(readOnly, true)
  assert.is((await claimedIn(aWorld())).readOnly, false)
  assert.is(await reasonOf(claimedIn(aWorld({ location: false }))), 'LocationMissing')
})

test('where the kind of locations is not served none counts; another error is not taken for that', async () => {
  const unserved = aWorld()
  const answering = (reason: string): StepDeps => ({
    ...unserved,
    cluster: new Proxy(unserved.cluster, {
      get: (cluster, name) => {
        const own = Reflect.get(cluster, name)
        if (name !== 'read') return typeof own === 'function' ? own.bind(cluster) : own
        return async (kind: string, ...rest: [string, string]) => {
          if (kind === 'BackupStorageLocation') throw new RetryableError(reason, 'no')
          return await (own as (...all: unknown[]) => Promise<unknown>).call(cluster, kind, ...rest)
        }
      },
    }),
  })
  assert.is(await reasonOf(accessOfRepository(answering('KubernetesKindMissing'), 'br-1', 'write')), 'none')
  assert.is((await claimedIn(answering('KubernetesKindMissing'))).readOnly, false)
  const trouble = answering('KubernetesUnavailable')
  assert.is(await reasonOf(accessOfRepository(trouble, 'br-1', 'write')), 'KubernetesUnavailable')
})

test('a repository that names namespaces serves those, and restores of what came from them', async () => {
  const deps = aWorld({ allowed: ['shop', 'bank'] })
  assert.is(await reasonOf(requireAllowed(deps, 'br-1', ['shop'])), 'none')
  assert.is(await reasonOf(requireAllowed(deps, 'br-1', ['shop-copy', 'shop'])), 'none')
  assert.is(await reasonOf(requireAllowed(deps, 'br-1', ['other'])), 'NamespaceNotAllowed')
  assert.is(await reasonOf(requireAllowed(aWorld(), 'br-1', ['other'])), 'none', 'an empty list allows all')
})

test('a repository that is not there yet is left to the transfer, and no repository (local mode) is fine', async () => {
  assert.is(await reasonOf(requireAllowed(aWorld(), 'br-2', ['shop'])), 'none')
  assert.is(await reasonOf(requireAllowed(aWorld(), '', ['shop'])), 'none')
  assert.is(await reasonOf(accessOfRepository(aWorld(), 'br-2', 'write')), 'RepositoryNotFound')
})

test.run()
