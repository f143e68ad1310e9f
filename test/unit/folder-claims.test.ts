// Who may choose a folder as a store: an operator, below the folder that the deployment sets; a tenant never.

import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import type { Condition } from '#shared/api/kinds.ts'
import { accessOfClaimed, accessOfRepository } from '#shared/controllers/repository-access.ts'
import { systemClock } from '#shared/kernel/clock.ts'
import { readSettings } from '#shared/kernel/env.ts'
import { blockSourceOf } from '#shared/movers/block/block-source.ts'
import { createRepositories } from '#shared/repository/repositories.ts'
import { loadStores } from '#shared/repository/stores/open.ts'
import { createStores } from '#shared/repository/stores/registry.ts'
import type { Context } from '#shared/runtime/context.ts'
import { CHEAP_SCRYPT } from '#test/support/engine-world.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { reasonOf } from '#test/support/reason.ts'
import { type ClaimDeps, handleRepository } from '../../functions/repository/handler.ts'

const test = suite('claims of folders')
const apiVersion = 'backupdriver.cnsdp.vmware.com/v1alpha1'
const DRIVER = 'folder.dormouse.dev'
const path = mkdtempSync(join(tmpdir(), 'dormouse-claimed-'))
const open = await loadStores()
const log = { debug() {}, info() {}, warn() {}, error() {} }

test.after.each(() => {
  for (const name of readdirSync(path)) rmSync(join(path, name), { recursive: true })
})
test.after(() => rmSync(path, { recursive: true }))

class World {
  readonly cluster = new MemoryCluster({ clock: systemClock })
  readonly deps: ClaimDeps

  constructor(env: Record<string, string>) {
    const settings = readSettings(env)
    const deps = {
      cluster: this.cluster,
      clock: systemClock,
      settings,
      stores: createStores(settings),
      identity: 'p',
      log,
    }
    const repositories = createRepositories({
      storeOf: ({ store }) => open(store),
      clock: systemClock,
      scrypt: CHEAP_SCRYPT,
      sourceOf: blockSourceOf,
    })
    this.deps = {
      ...deps,
      repositories,
      access: (name, use) => accessOfRepository(deps, name, use),
      accessOf: (repository) => accessOfClaimed(deps, repository),
    }
    const data = { password: Buffer.from('of the repository').toString('base64') }
    this.cluster.seed('Secret', {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'dormouse-repository-key', namespace: 'velero' },
      data,
    })
  }

  /** The status after the function has handled the claim once, and the claim's BackupRepository. */
  async claimed(namespace: string, parameters: Record<string, string>) {
    const claim = this.cluster.seed('BackupRepositoryClaim', {
      apiVersion,
      kind: 'BackupRepositoryClaim',
      metadata: { name: 'mine', namespace },
      repositoryDriver: DRIVER,
      repopsitoryParameters: parameters,
      allowedNamespaces: namespace === 'velero' ? ['shop'] : [namespace],
    })
    const ref = { kind: 'BackupRepositoryClaim' as const, namespace, name: 'mine' }
    await handleRepository({ log } as unknown as Context, ref, this.deps, new AbortController().signal)
    const conditions: Condition[] =
      this.cluster.peek('BackupRepositoryClaim', namespace, 'mine')?.['status']?.conditions ?? []
    const ready = conditions.find(({ type }) => type === 'Ready')
    return { name: `br-${claim.metadata.uid}`, ready }
  }

  repository(name: string): LooseObject {
    return this.cluster.peek('BackupRepository', undefined, name)
  }
}

const ALLOWED = { DORMOUSE_FOLDER_STORES: dirname(path) }

test("an operator's claim of a folder makes a repository in it, for the namespaces that it allows", async () => {
  const world = new World(ALLOWED)
  const { name, ready } = await world.claimed('velero', { path })
  assert.is(ready?.status, 'True', ready?.message)
  assert.ok(readdirSync(path).includes('config'))
  const repository = world.repository(name)
  assert.equal([repository?.['repositoryDriver'], repository?.['repopsitoryParameters']], [DRIVER, { path }])
  assert.equal(repository?.['allowedNamespaces'], ['shop'])
  for (const use of ['read', 'write'] as const) {
    const { store, repositoryId } = await world.deps.access(name, use)
    assert.equal(store, { kind: 'folder', path, within: dirname(path) })
    assert.is(repositoryId, repository?.['status']?.repositoryId)
  }
})

test('a deployment without a folder for stores opens none, and the reason names the setting', async () => {
  const world = new World({})
  const { name, ready } = await world.claimed('velero', { path })
  assert.equal([ready?.status, ready?.reason], ['False', 'FolderNotAllowed'])
  assert.match(ready?.message ?? '', 'DORMOUSE_FOLDER_STORES')
  assert.is(await reasonOf(world.deps.access(name)), 'FolderNotAllowed')
  assert.equal(readdirSync(path), [])
})

test('a folder outside of the one that the deployment allows is not opened', async () => {
  const world = new World({ DORMOUSE_FOLDER_STORES: `/${basename(path)}` })
  assert.is((await world.claimed('velero', { path })).ready?.reason, 'FolderNotAllowed')
  assert.equal(readdirSync(path), [])
})

test('a folder that is no longer allowed is not opened any more', async () => {
  const world = new World(ALLOWED)
  const { name } = await world.claimed('velero', { path })
  const later = { ...world.deps, stores: createStores({ folderStores: undefined }) }
  assert.is(await reasonOf(accessOfRepository(later, name)), 'FolderNotAllowed')
})

test("a tenant's claim chooses no folder, with or without a location beside it", async () => {
  for (const backupStorageLocation of [undefined, 'default']) {
    const world = new World(ALLOWED)
    world.cluster.seed('BackupStorageLocation', {
      apiVersion: 'velero.io/v1',
      kind: 'BackupStorageLocation',
      metadata: { name: 'default', namespace: 'velero', annotations: { 'dormouse.dev/allowed-namespaces': 'shop' } },
      spec: { provider: 'aws', objectStorage: { bucket: 'backups' } },
    })
    const location = backupStorageLocation === undefined ? {} : { backupStorageLocation }
    const { name, ready } = await world.claimed('shop', { path, ...location })
    assert.is(ready?.status, 'False')
    assert.is(ready?.reason, backupStorageLocation === undefined ? 'LocationNotAllowed' : 'ParametersNotAllowed')
    assert.is(world.repository(name), undefined)
    assert.equal(readdirSync(path), [])
  }
})

test("a folder's driver in a tenant's claim means nothing: it gets the location's own store", async () => {
  const world = new World(ALLOWED)
  world.deps.repositories.ensure = () => Promise.reject(new Error('as far as the bucket'))
  world.cluster.seed('BackupStorageLocation', {
    apiVersion: 'velero.io/v1',
    kind: 'BackupStorageLocation',
    metadata: { name: 'default', namespace: 'velero', annotations: { 'dormouse.dev/allowed-namespaces': 'shop' } },
    spec: { provider: 'aws', objectStorage: { bucket: 'backups' } },
  })
  const { name } = await world.claimed('shop', { backupStorageLocation: 'default' })
  assert.is(world.repository(name)?.['repositoryDriver'], 's3repository.astrolabe.vmware-tanzu.com')
  assert.equal(readdirSync(path), [])
})

test.run()
