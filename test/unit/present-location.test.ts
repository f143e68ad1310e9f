// Locations that change after a repository was made: the current settings count, and must lead to the same repository.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import type { KindName } from '#shared/api/kinds.ts'
import { accessOfClaimed, accessOfRepository } from '#shared/controllers/repository-access.ts'
import type { RepositoryUse } from '#shared/domain/repository-use.ts'
import { readSettings } from '#shared/kernel/env.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import type { Repositories, RepositoryAccess } from '#shared/ports/mover.ts'
import { parametersFromLocation } from '#shared/repository/stores/s3/parameters.ts'
import { requireS3, type S3Settings } from '#shared/repository/stores/s3/settings.ts'
import type { Context } from '#shared/runtime/context.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { reasonOf } from '#test/support/reason.ts'
import { stores } from '#test/support/stores.ts'
import { recordPlace } from '../../functions/maintenance/place.ts'
import { type ClaimDeps, handleRepository } from '../../functions/repository/handler.ts'
import { wakeForUnidentified } from '../../functions/sweep/unidentified.ts'

const test = suite('locations that change')

const silent = { debug() {}, info() {}, warn() {}, error() {} }
const OPEN_TO = 'dormouse.dev/allowed-namespaces'
const CA = `-----BEGIN CERTIFICATE-----\n${'A'.repeat(64)}\n-----END CERTIFICATE-----`
const base64 = (text: string) => Buffer.from(text).toString('base64')
const keys = (id: string) =>
  `[default]\naws_access_key_id=${id}\naws_secret_access_key=b\n[two]\naws_access_key_id=two\naws_secret_access_key=b\n`

/** With the bucket's settings, which otherwise only the S3 store sees. */
type Opened = RepositoryAccess & { s3: S3Settings }

const withBucket = (access: RepositoryAccess): Opened => ({ ...access, s3: requireS3(access.store) })

type Wish = {
  namespace?: string
  bucket?: string
  prefix?: string
  config?: Record<string, string>
  caCert?: string
  openTo?: string
  accessMode?: string
  credential?: { name: string; key: string }
  provider?: string
}

class World {
  readonly cluster: MemoryCluster
  readonly deps: ClaimDeps
  readonly opened: Opened[] = []
  trouble: Error | undefined
  uselessRecovery = false

  constructor() {
    const clock = {
      nowMs: () => Date.parse('2026-11-30T12:00:00Z'),
      monotonicMs: () => 0,
      sleep: (_ms: number, signal?: AbortSignal) =>
        new Promise<void>((resolve) => signal?.addEventListener('abort', () => resolve(), { once: true })),
    }
    this.cluster = new MemoryCluster({ clock })
    const deps = { cluster: this.cluster, clock, settings: readSettings({}), stores, identity: 'pod-1', log: silent }
    const open = async (access: RepositoryAccess, _: unknown, onOpened?: (repositoryId: string) => Promise<void>) => {
      this.opened.push(withBucket(access))
      if (this.trouble !== undefined) throw this.trouble
      if (this.uselessRecovery) {
        await onOpened?.('id')
        throw new TerminalError('RecoveryKeyInvalid', 'no PEM')
      }
      return { repositoryId: 'id', created: false, recoverySlot: true, damagedSlots: [], conditionalPut: true }
    }
    const repositories = { ensure: open, inspect: open } as unknown as Repositories
    const accessOf = (repository: LooseObject) => accessOfClaimed(deps, repository)
    this.deps = { ...deps, repositories, access: (name) => accessOfRepository(deps, name), accessOf }
    this.secret('dormouse-repository-key', { password: 'secret' })
    this.secret('cloud-credentials', { cloud: keys('first') })
    this.secret('other-credentials', { cloud: keys('other') })
  }

  secret(name: string, data: Record<string, string>): void {
    const encoded = Object.fromEntries(Object.entries(data).map(([key, value]) => [key, base64(value)]))
    this.cluster.seed('Secret', {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name, namespace: 'velero' },
      data: encoded,
    })
  }

  location(name: string, wish: Wish = {}): LooseObject {
    const { namespace = 'velero', bucket = 'backups', prefix = 'velero', provider = 'aws', openTo, caCert } = wish
    return this.cluster.seed('BackupStorageLocation', {
      apiVersion: 'velero.io/v1',
      kind: 'BackupStorageLocation',
      metadata: { name, namespace, ...(openTo === undefined ? {} : { annotations: { [OPEN_TO]: openTo } }) },
      spec: {
        provider,
        objectStorage: { bucket, prefix, ...(caCert === undefined ? {} : { caCert: base64(caCert) }) },
        config: { s3Url: 'https://store.example', region: 'one', ...wish.config },
        ...(wish.accessMode === undefined ? {} : { accessMode: wish.accessMode }),
        ...(wish.credential === undefined ? {} : { credential: wish.credential }),
      },
    })
  }

  async remove(name: string): Promise<void> {
    await this.cluster.delete('BackupStorageLocation', this.cluster.peek('BackupStorageLocation', 'velero', name)!)
  }

  /** Edits it as an operator does: everything not in `wish` is as it was at first. */
  async edit(name: string, wish: Wish = {}): Promise<void> {
    await this.remove(name)
    this.location(name, wish)
  }

  /** Makes a claim as Velero's plugin writes it, or with these parameters, and lets the function handle it. Returns its repository's name. */
  async claimed({
    namespace = 'velero',
    parameters,
  }: {
    namespace?: string
    parameters?: Record<string, string>
  } = {}): Promise<string> {
    const location = this.cluster.peek('BackupStorageLocation', 'velero', 'default')!
    const claim = this.cluster.seed('BackupRepositoryClaim', {
      apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
      kind: 'BackupRepositoryClaim',
      metadata: { name: 'mine', namespace },
      repositoryDriver: 's3repository.astrolabe.vmware-tanzu.com',
      repopsitoryParameters: parameters ?? parametersFromLocation(location),
    })
    await this.look(namespace)
    return `br-${claim.metadata.uid}`
  }

  async look(namespace = 'velero'): Promise<string> {
    const ref = { kind: 'BackupRepositoryClaim' as KindName, namespace, name: 'mine' }
    return await handleRepository({ log: silent } as unknown as Context, ref, this.deps, new AbortController().signal)
  }

  /** Makes it look as an earlier version left it. */
  async forget(name: string): Promise<void> {
    const repository = this.cluster.peek('BackupRepository', undefined, name)!
    await this.cluster.patch('BackupRepository', repository, { status: { storageLocation: null, repositoryId: null } })
  }

  /** A BackupRepository made by hand that names a claim which is not its own. */
  strange(name: string): void {
    this.cluster.seed('BackupRepository', {
      apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
      kind: 'BackupRepository',
      metadata: { name },
      backupRepositoryClaim: 'mine',
    })
  }

  /** A finished claim, and its repository of an earlier version. */
  done(name: string): void {
    const claim = this.cluster.seed('BackupRepositoryClaim', {
      apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
      kind: 'BackupRepositoryClaim',
      metadata: { name, namespace: 'velero', labels: { 'dormouse.dev/step': 'done' } },
    })
    this.cluster.seed('BackupRepository', {
      apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
      kind: 'BackupRepository',
      metadata: { name: `br-${claim.metadata.uid}` },
      backupRepositoryClaim: name,
    })
  }

  /** Which claims the sweep wakes. */
  async woken(): Promise<string[]> {
    const calls: string[] = []
    const wake = async (step: string, { namespace, name }: { namespace?: string | undefined; name: string }) => {
      calls.push(`${step} ${namespace}/${name}`)
    }
    await wakeForUnidentified({ ...this.deps, wake })
    return calls
  }

  async access(name: string, use: RepositoryUse = 'write'): Promise<Opened> {
    return withBucket(await accessOfRepository(this.deps, name, use))
  }
}

test('a renamed location is found by its place, with its current settings', async () => {
  const world = new World()
  world.location('default')
  const name = await world.claimed()
  await world.remove('default')
  world.location('renamed', {
    config: { region: 'two', profile: 'two', s3ForcePathStyle: 'true', insecureSkipTLSVerify: 'true' },
    caCert: CA,
    credential: { name: 'other-credentials', key: 'cloud' },
  })
  for (const use of ['read', 'write'] as const) {
    const { s3, repositoryId } = await world.access(name, use)
    assert.equal([s3.region, s3.forcePathStyle, s3.insecureSkipTlsVerify, s3.caCert], ['two', true, true, CA])
    assert.is(keyOf(s3.credentials), 'two')
    assert.is(repositoryId, 'id', 'a name of a bucket proves nothing')
  }
})

/** The access key, or undefined if the credentials have no plain keys. */
function keyOf(credentials: S3Settings['credentials']): string | undefined {
  return credentials !== undefined && 'accessKeyId' in credentials ? credentials.accessKeyId : undefined
}

test('an edit of a location counts from the next use on', async () => {
  const edits: [Wish, (access: Opened) => unknown, wanted: unknown][] = [
    [{ config: { region: 'two' } }, ({ s3 }) => s3.region, 'two'],
    [{ config: { s3ForcePathStyle: 'true' } }, ({ s3 }) => s3.forcePathStyle, true],
    [{ config: { insecureSkipTLSVerify: 'true' } }, ({ s3 }) => s3.insecureSkipTlsVerify, true],
    [{ config: { profile: 'two' } }, ({ s3 }) => keyOf(s3.credentials), 'two'],
    [{ config: { serverSideEncryption: 'AES256' } }, ({ s3 }) => s3.serverSideEncryption, 'AES256'],
    [{ config: { kmsKeyId: 'key' } }, ({ s3 }) => [s3.serverSideEncryption, s3.kmsKeyId], ['aws:kms', 'key']],
    [{ config: { tagging: 'a=b' } }, ({ s3 }) => s3.tagging, 'a=b'],
    [{ caCert: CA }, ({ s3 }) => s3.caCert, CA],
    [{ credential: { name: 'other-credentials', key: 'cloud' } }, ({ s3 }) => keyOf(s3.credentials), 'other'],
    [{ config: { s3Url: 'https://moved.example' } }, ({ s3 }) => s3.url, 'https://moved.example'],
  ]
  for (const [wish, seen, wanted] of edits) {
    const world = new World()
    world.location('default')
    const name = await world.claimed()
    await world.edit('default', wish)
    for (const use of ['read', 'write'] as const)
      assert.equal(seen(await world.access(name, use)), wanted, JSON.stringify(wish))
  }
})

test('what was taken out of a location is gone', async () => {
  const world = new World()
  world.location('default', { caCert: CA, config: { serverSideEncryption: 'AES256' } })
  const name = await world.claimed()
  await world.edit('default')
  const { s3 } = await world.access(name)
  assert.equal([s3.caCert, s3.serverSideEncryption], [undefined, undefined])
})

test('the Secret of the key is no part of a location, and stays', async () => {
  const world = new World()
  const location = world.location('default')
  world.secret('own-key', { password: 'of my own' })
  const name = await world.claimed({ parameters: parametersFromLocation(location, 'own-key') })
  await world.edit('default', { config: { region: 'two' } })
  const { password, s3 } = await world.access(name)
  assert.equal([password, s3.region], ['of my own', 'two'])
})

test('a location that was moved to another place is followed, and must lead to the same repository', async () => {
  const moves: Wish[] = [
    { bucket: 'copied' },
    { prefix: 'copied' },
    { config: { s3Url: 'https://copied.example' } },
    { bucket: 'copied', config: { s3Url: 'https://copied.example' } },
  ]
  for (const move of moves) {
    const world = new World()
    world.location('default')
    const name = await world.claimed()
    await world.edit('default', move)
    for (const use of ['read', 'write'] as const) {
      const { s3, repositoryId } = await world.access(name, use)
      assert.is(s3.bucket, move.bucket ?? 'backups')
      assert.is(s3.prefix, move.prefix ?? 'velero')
      assert.is(s3.url, move.config?.['s3Url'] ?? 'https://store.example')
      assert.is(repositoryId, 'id')
    }
  }
})

test('even at the same place the repository must be the same: a bucket of another account may have its name', async () => {
  const credential = { name: 'other-credentials', key: 'cloud' }
  const aws = { s3Url: '' }
  const changes: { first?: Wish; today: Wish; name: string }[] = [
    { name: 'default', today: { credential } },
    { name: 'another', today: { credential } },
    { name: 'default', today: { config: { profile: 'two' } } },
    { name: 'default', first: { config: aws }, today: { config: { ...aws, region: 'cn-north-1' } } },
    { name: 'default', today: {} },
  ]
  for (const { first = {}, today, name } of changes) {
    const world = new World()
    world.location('default', first)
    const repository = await world.claimed()
    await world.remove('default')
    assert.is((await world.access(repository, 'read')).repositoryId, 'id', 'without any location')
    world.location(name, today)
    for (const use of ['read', 'write'] as const) assert.is((await world.access(repository, use)).repositoryId, 'id')
  }
})

test('the identity of a repository is checked before a recovery key is added', async () => {
  const world = new World()
  world.location('default')
  world.uselessRecovery = true
  const name = await world.claimed()
  assert.is(world.cluster.peek('BackupRepositoryClaim', 'velero', 'mine')?.['status']?.reason, 'RecoveryKeyInvalid')
  await world.edit('default', { bucket: 'moved' })
  assert.equal([(await world.access(name)).s3.bucket, (await world.access(name)).repositoryId], ['moved', 'id'])
  await world.look()
  assert.is(world.opened.at(-1)?.repositoryId, 'id')
})

test('before a claim is Ready, an operator may change it to another repository', async () => {
  const world = new World()
  world.location('default')
  world.uselessRecovery = true
  const name = await world.claimed({
    parameters: { bucket: 'backups', prefix: 'mine', backupStorageLocation: 'default' },
  })
  assert.is((await world.access(name)).repositoryId, 'id')
  const claim = world.cluster.peek('BackupRepositoryClaim', 'velero', 'mine')!
  await world.cluster.patch('BackupRepositoryClaim', claim, { repopsitoryParameters: { prefix: 'anew' } })
  await world.look()
  assert.equal([world.opened.at(-1)?.s3.prefix, world.opened.at(-1)?.repositoryId], ['anew', undefined])
})

test('a repository stays at a place that another location still points at, although the named location was moved', async () => {
  const world = new World()
  world.location('default')
  const name = await world.claimed()
  await world.edit('default', { bucket: 'fresh' })
  world.location('archive', { config: { region: 'two' } })
  const { s3, repositoryId } = await world.access(name)
  assert.equal([s3.bucket, s3.region, repositoryId], ['backups', 'two', 'id'])
})

test('a location that is corrected before its repository was ever opened needs no proof', async () => {
  const world = new World()
  world.location('default', { bucket: 'mistyped' })
  world.trouble = new TerminalError('BucketMissing', 'no such bucket')
  const name = await world.claimed()
  await world.edit('default')
  world.trouble = undefined
  assert.is(await world.look(), 'Ready')
  assert.equal(
    world.opened.map(({ s3, repositoryId }) => [s3.bucket, repositoryId]),
    [
      ['mistyped', undefined],
      ['backups', undefined],
    ],
  )
  assert.is((await world.access(name)).s3.bucket, 'backups')
})

test('a prune records where it has found the repository: a location may be moved, renamed, and moved again', async () => {
  const world = new World()
  world.location('default', { caCert: CA })
  const name = await world.claimed()
  const placeOf = () => {
    const { repopsitoryParameters, status } = world.cluster.peek('BackupRepository', undefined, name)!
    const { bucket, region, caCert, backupStorageLocation } = repopsitoryParameters
    return [bucket, region, caCert, backupStorageLocation, status?.storageLocation]
  }
  await world.edit('default', { bucket: 'copied', config: { region: 'two' } })
  const access = await world.access(name)
  await recordPlace(world.deps, name, access)
  assert.equal(placeOf(), ['copied', 'two', undefined, 'default', 'default'])
  await world.remove('default')
  world.location('renamed', { bucket: 'copied' })
  assert.is(await reasonOf(world.access(name)), 'none')
  await recordPlace(world.deps, name, await world.access(name))
  assert.equal(placeOf(), ['copied', 'one', undefined, 'renamed', 'renamed'])
  await world.edit('renamed', { bucket: 'again' })
  assert.equal([(await world.access(name)).s3.bucket, (await world.access(name)).repositoryId], ['again', 'id'])
  await recordPlace(world.deps, name, access)
  assert.is(placeOf()[0], 'copied', 'what was opened is another place than the one that the location has by now')
})

test('a prune records no place for a repository with an operator’s own settings, or without a location', async () => {
  const world = new World()
  world.location('default')
  const parameters = { bucket: 'backups', prefix: 'mine', backupStorageLocation: 'default' }
  const name = await world.claimed({ parameters })
  await world.edit('default', { config: { region: 'two' } })
  await recordPlace(world.deps, name, await world.access(name))
  assert.equal(world.cluster.peek('BackupRepository', undefined, name)?.['repopsitoryParameters'], parameters)
  await recordPlace(world.deps, 'br-gone', await world.access(name))
})

test('only the same bucket, prefix and endpoint are the same place', async () => {
  const others: Wish[] = [
    { bucket: 'other' },
    { prefix: 'velero/other' },
    { prefix: '' },
    { config: { s3Url: 'https://store.example:8443' } },
    { config: { s3Url: 'http://store.example' } },
    { config: { s3Url: '' } },
    { provider: 'gcp' },
    { config: { insecureSkipTLSVerify: 'maybe' } },
    { namespace: 'tenant-b' },
  ]
  for (const other of others) {
    const world = new World()
    world.location('default')
    const name = await world.claimed()
    await world.remove('default')
    world.location('other', other)
    assert.is(await reasonOf(world.access(name)), 'LocationMissing', JSON.stringify(other))
    assert.is((await world.access(name, 'read')).s3.bucket, 'backups', 'restores need only the bucket')
  }
  const same: Wish[] = [{ prefix: '/velero/' }, { config: { s3Url: 'HTTPS://Store.example:443/' } }]
  for (const other of same) {
    const world = new World()
    world.location('default')
    const name = await world.claimed()
    await world.remove('default')
    world.location('other', other)
    assert.is(await reasonOf(world.access(name)), 'none', JSON.stringify(other))
  }
})

test('without a location there are no writes; the refusal says where one has to point, and such a location ends it', async () => {
  const world = new World()
  world.location('default')
  const name = await world.claimed()
  await world.remove('default')
  const error = await world.access(name).catch((thrown) => thrown)
  assert.is(error.reason, 'LocationMissing')
  assert.match(error.message, 'bucket backups, prefix velero, at https://store.example')
  world.location('whatever')
  assert.is(await reasonOf(world.access(name)), 'none')
})

test('of two locations at one place the named one counts, even if it is ReadOnly', async () => {
  const world = new World()
  world.location('default', { config: { region: 'named' } })
  const name = await world.claimed()
  world.location('a', { config: { region: 'other' } })
  assert.is((await world.access(name)).s3.region, 'named')
  await world.edit('default', { config: { region: 'named' }, accessMode: 'ReadOnly' })
  assert.is(await reasonOf(world.access(name)), 'LocationReadOnly')
  assert.is((await world.access(name, 'read')).s3.region, 'named')
})

test('of several other locations one that takes writes is preferred, then the first by name', async () => {
  const world = new World()
  world.location('default')
  const name = await world.claimed()
  await world.remove('default')
  world.location('a', { accessMode: 'ReadOnly', config: { region: 'a' } })
  assert.is(await reasonOf(world.access(name)), 'LocationReadOnly')
  assert.is((await world.access(name, 'read')).s3.region, 'a')
  world.location('c', { config: { region: 'c' } })
  world.location('b', { config: { region: 'b' } })
  assert.is((await world.access(name)).s3.region, 'b')
})

test('a tenant goes on through a location that is open to its namespace, and through no other', async () => {
  const world = new World()
  world.location('default', { openTo: 'tenant-b' })
  const name = await world.claimed({ namespace: 'tenant-b', parameters: { backupStorageLocation: 'default' } })
  await world.remove('default')
  world.location('own', { namespace: 'tenant-b', openTo: '*' })
  assert.is(await reasonOf(world.access(name)), 'LocationMissing', 'one of its own is none')
  world.location('a', { openTo: 'tenant-a', config: { region: 'a' } })
  assert.is(await reasonOf(world.access(name)), 'LocationNotAllowed')
  assert.is(await reasonOf(world.access(name, 'read')), 'none')
  world.location('b', { openTo: 'tenant-b', config: { region: 'b' } })
  assert.is((await world.access(name)).s3.region, 'b')
})

test('a tenant cannot change the place of a repository by editing its claim', async () => {
  const world = new World()
  world.location('default', { openTo: 'tenant-b' })
  world.location('secret', { bucket: 'secret' })
  const name = await world.claimed({ namespace: 'tenant-b', parameters: { backupStorageLocation: 'default' } })
  const claim = world.cluster.peek('BackupRepositoryClaim', 'tenant-b', 'mine')!
  const forged = { storageLocation: 'secret', repositoryId: 'other', conditions: null }
  await world.cluster.patch('BackupRepositoryClaim', claim, {
    repopsitoryParameters: { backupStorageLocation: 'secret' },
    status: forged,
  })
  await world.look('tenant-b')
  assert.is((await world.access(name)).s3.bucket, 'backups')
})

test("the settings of an operator's claim count where they differ from its location", async () => {
  const own: Record<string, string>[] = [
    { bucket: 'backups', prefix: 'mine', backupStorageLocation: 'default' },
    { bucket: 'backups', prefix: 'velero', s3Url: 'http://inside.example', backupStorageLocation: 'default' },
    {
      bucket: 'backups',
      prefix: 'velero',
      s3Url: 'https://store.example',
      region: 'three',
      backupStorageLocation: 'default',
    },
  ]
  for (const parameters of own) {
    const world = new World()
    world.location('default')
    const name = await world.claimed({ parameters })
    await world.edit('default', { bucket: 'moved', config: { region: 'two' } })
    const { s3, repositoryId } = await world.access(name)
    assert.equal(
      [s3.bucket, s3.prefix, s3.region, repositoryId],
      ['backups', parameters['prefix'], parameters['region'] ?? 'us-east-1', 'id'],
    )
    await world.edit('default', { accessMode: 'ReadOnly' })
    assert.is(
      await reasonOf(world.access(name)),
      'LocationReadOnly',
      'the location still says whether there are writes',
    )
  }
})

test("an operator's edit of a waiting claim counts", async () => {
  const world = new World()
  world.location('default')
  world.trouble = new TerminalError('BucketMissing', 'no such bucket')
  const name = await world.claimed()
  const claim = world.cluster.peek('BackupRepositoryClaim', 'velero', 'mine')!
  await world.cluster.patch('BackupRepositoryClaim', claim, { repopsitoryParameters: { prefix: 'mine' } })
  world.trouble = undefined
  assert.is(await world.look(), 'Ready')
  assert.is((await world.access(name)).s3.prefix, 'mine')
})

test('a location that cannot be used any more is reported with its key', async () => {
  const world = new World()
  world.location('default')
  const name = await world.claimed()
  await world.edit('default', { provider: 'gcp' })
  for (const use of ['read', 'write'] as const)
    assert.is(await reasonOf(world.access(name, use)), 'RepositoryParametersInvalid')
})

test("the claim of an earlier version's repository is handled once more, and the repository follows its location from then on", async () => {
  for (const namespace of ['velero', 'team-a']) {
    const world = new World()
    world.location('default', { openTo: 'team-a' })
    const name = await world.claimed({ namespace })
    await world.forget(name)
    assert.equal(await world.woken(), [`repository ${namespace}/mine`])
    await world.look(namespace)
    const { storageLocation, repositoryId } = world.cluster.peek('BackupRepository', undefined, name)?.['status'] ?? {}
    assert.equal([storageLocation, repositoryId], ['default', 'id'])
    assert.equal(await world.woken(), [], 'once is enough')
    const edited = { openTo: 'team-a', credential: { name: 'other-credentials', key: 'cloud' } }
    await world.edit('default', edited)
    assert.is(keyOf((await world.access(name)).s3.credentials), 'other')
  }
})

test('no claim is woken for a repository that is not its own, nor one that is unfinished, nor more than a few in one sweep', async () => {
  const world = new World()
  world.location('default')
  const name = await world.claimed()
  await world.forget(name)
  const claim = world.cluster.peek('BackupRepositoryClaim', 'velero', 'mine')!
  await world.cluster.patch('BackupRepositoryClaim', claim, {
    metadata: { labels: { 'dormouse.dev/step': 'waiting' } },
  })
  for (let n = 0; n < 40; n++) world.strange(`by-hand-${n}`)
  assert.equal(await world.woken(), [], 'what is unfinished is woken for that')
  const many = new World()
  for (let n = 0; n < 40; n++) many.done(`claim-${n}`)
  assert.is((await many.woken()).length, 16)
})

test.run()
