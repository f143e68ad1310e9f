// The rights of a claim depend on who made it: an operator gets what the claim says, a tenant gets what an operator has opened.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import type { Condition, KindName } from '#shared/api/kinds.ts'
import { accessOfClaimed, accessOfRepository } from '#shared/controllers/repository-access.ts'
import { readSettings } from '#shared/kernel/env.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import type { Repositories, RepositoryAccess } from '#shared/ports/mover.ts'
import type { Context } from '#shared/runtime/context.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { reasonOf } from '#test/support/reason.ts'
import { stores } from '#test/support/stores.ts'
import { type ClusterAccess, namedRepository } from '../../cli/cluster-access.ts'
import { type ClaimDeps, handleRepository } from '../../functions/repository/handler.ts'

const test = suite('claims of tenants and operators')

const DRIVER = 's3repository.astrolabe.vmware-tanzu.com'
const OPEN_TO = 'dormouse.dev/allowed-namespaces'
const FROM = 'dormouse.dev/claim-namespace'
const ATTACKER = 'https://attacker.example'
const base64 = (text: string) => Buffer.from(text).toString('base64')

type Wish = {
  namespace?: string
  name?: string
  parameters?: Record<string, string>
  allowed?: string[]
  more?: object
}

class World {
  readonly cluster: MemoryCluster
  readonly secretsRead: string[] = []
  readonly opened: RepositoryAccess[] = []
  readonly deps: ClaimDeps
  readonly lines: string[] = []
  trouble: Error | undefined

  constructor() {
    const clock = {
      nowMs: () => Date.parse('2026-11-30T12:00:00Z'),
      monotonicMs: () => 0,
      sleep: (_ms: number, signal?: AbortSignal) => untilAborted(signal),
    }
    this.cluster = new MemoryCluster({
      clock,
      beforeCall: async (verb, kind, name) =>
        void (verb === 'read' && kind === 'Secret' && this.secretsRead.push(String(name))),
    })
    const say = (fields: object, text: string) =>
      void this.lines.push(
        `${JSON.stringify(fields, (_key, value) => (value instanceof Error ? value.message : value))} ${text}`,
      )
    const log = { debug: say, info: say, warn: say, error: say }
    const deps = { cluster: this.cluster, clock, settings: readSettings({}), stores, identity: 'pod-1', log }
    const open = async (access: RepositoryAccess) => {
      this.opened.push(access)
      if (this.trouble !== undefined) throw this.trouble
      return { repositoryId: 'id', created: false, recoverySlot: true, damagedSlots: [], conditionalPut: true }
    }
    const repositories = { ensure: open, inspect: open } as unknown as Repositories
    const access = (name: string) => accessOfRepository(deps, name)
    this.deps = {
      ...deps,
      repositories,
      access,
      accessOf: (repository) => accessOfClaimed(deps, repository),
    } as ClaimDeps
    this.secret('dormouse-repository-key', { password: Buffer.alloc(32, 7).toString('base64') })
    this.secret('cloud-credentials', { cloud: '[default]\naws_access_key_id=a\naws_secret_access_key=b\n' })
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

  location(
    name: string,
    openTo: string | undefined,
    { namespace = 'velero', spec = {} }: { namespace?: string; spec?: object } = {},
  ): void {
    this.cluster.seed('BackupStorageLocation', {
      apiVersion: 'velero.io/v1',
      kind: 'BackupStorageLocation',
      metadata: { name, namespace, ...(openTo === undefined ? {} : { annotations: { [OPEN_TO]: openTo } }) },
      spec: {
        provider: 'aws',
        objectStorage: { bucket: 'backups' },
        config: { s3Url: 'https://store.example' },
        ...spec,
      },
    })
  }

  claim({ namespace = 'tenant-b', name = 'mine', parameters = {}, allowed, more = {} }: Wish): LooseObject {
    return this.cluster.seed('BackupRepositoryClaim', {
      apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
      kind: 'BackupRepositoryClaim',
      metadata: { name, namespace },
      repositoryDriver: DRIVER,
      repopsitoryParameters: parameters,
      ...(allowed === undefined ? {} : { allowedNamespaces: allowed }),
      ...more,
    })
  }

  repository(name: string, fields: object): void {
    this.cluster.seed('BackupRepository', {
      apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
      kind: 'BackupRepository',
      allowedNamespaces: [],
      repositoryDriver: DRIVER,
      repopsitoryParameters: {},
      backupRepositoryClaim: 'mine',
      ...fields,
      metadata: { name, ...(fields as { metadata?: object }).metadata },
    } as LooseObject)
  }

  async handle(claim: LooseObject): Promise<string> {
    const { namespace, name } = claim.metadata
    const ref = { kind: 'BackupRepositoryClaim' as KindName, namespace, name }
    return await handleRepository(
      { log: this.deps.log } as unknown as Context,
      ref,
      this.deps,
      new AbortController().signal,
    )
  }

  ready(claim: LooseObject): Condition | undefined {
    const now = this.cluster.peek('BackupRepositoryClaim', claim.metadata.namespace, claim.metadata.name)
    return now?.['status']?.conditions?.find(({ type }: Condition) => type === 'Ready')
  }

  repositoryOf(claim: LooseObject): LooseObject | undefined {
    return this.cluster.peek('BackupRepository', undefined, `br-${claim.metadata.uid}`)
  }

  /** The claim's status gives the reason, nothing was read or opened, and there is no BackupRepository. */
  assertRefused(claim: LooseObject, reason: string, what: string): void {
    assert.is(this.ready(claim)?.status, 'False', what)
    assert.is(this.ready(claim)?.reason, reason, what)
    assert.equal(this.secretsRead, [], what)
    assert.equal(this.opened, [], what)
    assert.is(this.repositoryOf(claim), undefined, what)
  }
}

function untilAborted(signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => signal?.addEventListener('abort', () => resolve(), { once: true }))
}

test("a tenant's claim with an endpoint of its own reads no Secret, opens nothing and makes nothing", async () => {
  const hostile: Record<string, string>[] = [
    {
      bucket: 'backups',
      s3Url: ATTACKER,
      insecureSkipTLSVerify: 'true',
      customerKeyEncryptionSecret: 'dormouse-repository-key/password',
    },
    { bucket: 'backups', s3Url: ATTACKER },
    {
      bucket: 'backups',
      s3Url: ATTACKER,
      credentialSecretName: 'dormouse-repository-key',
      credentialSecretKey: 'password',
    },
    { bucket: 'backups', s3Url: ATTACKER, caCertSecret: 'velero-vsphere-config-secret/csi-vsphere.conf' },
    { bucket: 'backups', s3Url: ATTACKER, backupStorageLocation: 'closed' },
    { bucket: 'backups', s3Url: ATTACKER, backupStorageLocation: '../default' },
    { bucket: 'backups', s3Url: ATTACKER, backupStorageLocation: 'own' },
    {},
  ]
  for (const parameters of hostile) {
    const world = new World()
    world.location('closed', 'tenant-a')
    world.location('own', '*', { namespace: 'tenant-b' })
    const claim = world.claim({ parameters })
    await world.handle(claim)
    world.assertRefused(claim, 'LocationNotAllowed', JSON.stringify(parameters))
  }
})

test('values that a tenant adds to those of an opened location are refused, equal values are not', async () => {
  const added: Record<string, string>[] = [
    { s3Url: ATTACKER },
    { insecureSkipTLSVerify: 'true' },
    { customerKeyEncryptionSecret: 'dormouse-repository-key/password' },
    { credentialSecretName: 'other' },
    { encryptionSecretName: 'cloud-credentials' },
    { aws_access_key_id: 'a', aws_secret_access_key: 'b' },
    { prefix: 'somebody-else' },
    { __proto__x: 'y' },
    { constructor: 'y' },
  ]
  for (const parameters of added) {
    const world = new World()
    world.location('default', 'tenant-a, tenant-b')
    const claim = world.claim({ parameters: { backupStorageLocation: 'default', ...parameters } })
    await world.handle(claim)
    world.assertRefused(claim, 'ParametersNotAllowed', JSON.stringify(parameters))
  }
  const world = new World()
  world.location('default', 'tenant-a, tenant-b')
  const same = { backupStorageLocation: 'default', bucket: 'backups', s3Url: 'https://store.example' }
  const claim = world.claim({ parameters: same })
  await world.handle(claim)
  assert.is(world.ready(claim)?.status, 'True')
})

test("an opened location serves the claim's own namespace with the location's settings, and nobody else", async () => {
  for (const allowed of [undefined, [], ['tenant-b']]) {
    const world = new World()
    world.location('default', ' tenant-b ,x')
    const claim = world.claim({
      parameters: { backupStorageLocation: 'default' },
      ...(allowed === undefined ? {} : { allowed }),
      more: { repositoryDriver: 'of my own' },
    })
    await world.cluster.patch('BackupRepositoryClaim', claim, {
      metadata: { annotations: { 'dormouse.dev/restore-from-clusters': '*' } },
    })
    assert.is(await world.handle(claim), 'Ready')
    const repository = world.repositoryOf(claim)
    assert.equal(repository?.['allowedNamespaces'], ['tenant-b'])
    assert.is(repository?.['repositoryDriver'], DRIVER)
    const copied = { bucket: 'backups', s3Url: 'https://store.example', backupStorageLocation: 'default' }
    assert.equal(repository?.['repopsitoryParameters'], copied)
    assert.equal(repository?.metadata.annotations, { [FROM]: 'tenant-b' })
    assert.is(world.opened.length, 1)
  }
  for (const allowed of [['app'], ['tenant-b', 'app'], ['*'], ['']]) {
    const world = new World()
    world.location('default', '*')
    const claim = world.claim({ parameters: { backupStorageLocation: 'default' }, allowed })
    await world.handle(claim)
    world.assertRefused(claim, 'NamespaceNotAllowed', JSON.stringify(allowed))
  }
})

test('a missing location and a closed one give a tenant the same answer', async () => {
  const messages = []
  for (const name of ['closed', 'absent']) {
    const world = new World()
    world.location('closed', 'tenant-a,tenant-bb,tenant')
    const claim = world.claim({ parameters: { backupStorageLocation: name } })
    await world.handle(claim)
    world.assertRefused(claim, 'LocationNotAllowed', name)
    messages.push(world.ready(claim)?.message.replace(name, 'X'))
  }
  assert.is(messages[0], messages[1])
})

test('a refused claim goes on when an operator opens the location', async () => {
  const world = new World()
  const claim = world.claim({ parameters: { backupStorageLocation: 'late' } })
  await world.handle(claim)
  world.assertRefused(claim, 'LocationNotAllowed', 'before')
  const waiting = world.cluster.peek('BackupRepositoryClaim', 'tenant-b', 'mine')
  assert.is(waiting?.metadata.labels?.['dormouse.dev/step'], 'waiting')
  assert.is.not(waiting?.metadata.annotations?.['dormouse.dev/due'], undefined, 'it is looked at again')
  world.location('late', 'tenant-b')
  assert.is(await world.handle(claim), 'Ready')
})

test("an operator's claim counts as written, for any namespaces", async () => {
  const world = new World()
  const parameters = { bucket: 'backups', s3Url: 'https://anywhere.example' }
  const claim = world.claim({ namespace: 'velero', parameters, allowed: ['a', 'b'] })
  assert.is(await world.handle(claim), 'Ready')
  assert.equal(world.repositoryOf(claim)?.['repopsitoryParameters'], parameters)
  assert.equal(world.repositoryOf(claim)?.['allowedNamespaces'], ['a', 'b'])
  assert.equal(world.repositoryOf(claim)?.metadata.annotations, { [FROM]: 'velero' })
})

test('credentials in plain text are reported in the words of their store, and never repeated', async () => {
  const world = new World()
  const plain = { bucket: 'backups', aws_access_key_id: 'AKID', aws_secret_access_key: 's3cr3t' }
  const claim = world.claim({ namespace: 'velero', parameters: plain })
  assert.is(await world.handle(claim), 'Ready')
  const warning = stores.parse({ driver: DRIVER, parameters: plain }).plaintextCredentials
  const now = world.cluster.peek('BackupRepositoryClaim', 'velero', 'mine')
  for (const shown of [now, world.repositoryOf(claim)]) {
    const conditions: Condition[] = shown?.['status']?.conditions ?? []
    const found = conditions.find(({ type }) => type === 'PlaintextCredentials')
    assert.equal([found?.status, found?.message], ['True', `${warning?.text}: ${warning?.fix}`])
    assert.not.match(found?.message ?? '', /AKID|s3cr3t/)
  }
})

test("a claim in Velero's namespace on behalf of another one has the rights of that one", async () => {
  const world = new World()
  const claim = world.claim({ namespace: 'velero', parameters: { bucket: 'backups', s3Url: ATTACKER } })
  const metadata = { annotations: { 'dormouse.dev/on-behalf-of': 'tenant-b' } }
  await world.cluster.patch('BackupRepositoryClaim', claim, { metadata })
  await world.handle(claim)
  world.assertRefused(claim, 'LocationNotAllowed', 'on behalf')
})

test('what a tenant edits after Ready reaches no BackupRepository', async () => {
  const edits: [object, reason: string][] = [
    [{ repopsitoryParameters: { s3Url: ATTACKER } }, 'ParametersNotAllowed'],
    [{ repopsitoryParameters: { backupStorageLocation: 'other' } }, 'LocationNotAllowed'],
    [{ allowedNamespaces: ['app'] }, 'NamespaceNotAllowed'],
  ]
  for (const [edit, reason] of edits) {
    const world = new World()
    world.location('default', '*')
    const claim = world.claim({ parameters: { backupStorageLocation: 'default' } })
    await world.handle(claim)
    const { status: _, ...before } = world.repositoryOf(claim) as LooseObject & { status?: object }
    const seen = world.cluster.peek('BackupRepositoryClaim', 'tenant-b', 'mine')!
    await world.handle(seen)
    assert.is(world.opened.length, 1, 'a Ready one is not looked at again')
    await world.handle(
      await world.cluster.patch('BackupRepositoryClaim', seen, { ...edit, status: { conditions: null } }),
    )
    assert.is(world.ready(claim)?.reason, reason)
    const after = world.repositoryOf(claim)
    for (const field of ['repopsitoryParameters', 'allowedNamespaces']) assert.equal(after?.[field], before[field])
    assert.equal(after?.metadata.annotations, before.metadata.annotations)
  }
})

test("what an earlier version copied from a tenant's claim is not opened, and is mended once a location is opened", async () => {
  const world = new World()
  const forged = [
    { type: 'Ready', status: 'True', reason: 'x', message: '', lastTransitionTime: '2026-11-30T00:00:00Z' },
  ]
  const claim = world.claim({
    parameters: { backupStorageLocation: 'default' },
    more: { status: { conditions: forged } },
  })
  const name = `br-${claim.metadata.uid}`
  await world.cluster.patch('BackupRepositoryClaim', claim, { backupRepository: name })
  world.repository(name, { repopsitoryParameters: { bucket: 'backups', s3Url: ATTACKER } })
  assert.is(await reasonOf(world.deps.access(name)), 'RepositoryNotProved')
  assert.equal(world.secretsRead, [])
  await world.handle(claim)
  assert.is(world.ready(claim)?.reason, 'LocationNotAllowed')
  assert.is(await reasonOf(world.deps.access(name)), 'RepositoryNotProved')
  world.location('default', 'tenant-b')
  assert.is(await world.handle(claim), 'Ready')
  assert.is(world.repositoryOf(claim)?.['repopsitoryParameters'].s3Url, 'https://store.example')
  assert.equal(world.repositoryOf(claim)?.['allowedNamespaces'], ['tenant-b'])
  assert.is(await reasonOf(world.deps.access(name)), 'none')
})

test("what an earlier version copied from an operator's claim is opened, whoever has a claim of that name", async () => {
  const world = new World()
  const parameters = { bucket: 'backups' }
  const claim = world.claim({ namespace: 'velero', parameters })
  world.claim({ parameters: { s3Url: ATTACKER } })
  world.repository(`br-${claim.metadata.uid}`, { repopsitoryParameters: parameters })
  assert.is(await reasonOf(world.deps.access(`br-${claim.metadata.uid}`)), 'none')
  world.repository('br-4f4c7e0e-3b0c-4f3a-9d52-0c8ee8a4a001', { repopsitoryParameters: parameters })
  assert.is(await reasonOf(world.deps.access('br-4f4c7e0e-3b0c-4f3a-9d52-0c8ee8a4a001')), 'RepositoryNotProved')
  world.repository('by-hand', { repopsitoryParameters: parameters })
  assert.is(await reasonOf(world.deps.access('by-hand')), 'none')
})

test('an operator who opens a repository by hand opens no repository of a tenant', async () => {
  const world = new World()
  const name = 'br-4f4c7e0e-3b0c-4f3a-9d52-0c8ee8a4a001'
  world.repository(name, { repopsitoryParameters: { bucket: 'backups', s3Url: ATTACKER } })
  const access = { deps: world.deps, cluster: world.cluster } as unknown as ClusterAccess
  assert.is(await reasonOf(namedRepository(access, { repository: name })), 'RepositoryNotProved')
  const metadata = { annotations: { [FROM]: 'velero' } }
  await world.cluster.patch('BackupRepository', world.cluster.peek('BackupRepository', undefined, name)!, { metadata })
  assert.is((await namedRepository(access, { repository: name })).spec.parameters['s3Url'], ATTACKER)
})

test('a location that was closed again takes no writes of that namespace, and serves its restores', async () => {
  const world = new World()
  world.location('default', 'tenant-b')
  const claim = world.claim({ parameters: { backupStorageLocation: 'default' } })
  await world.handle(claim)
  const name = `br-${claim.metadata.uid}`
  assert.is(await reasonOf(accessOfRepository(world.deps, name, 'write')), 'none')
  const location = world.cluster.peek('BackupStorageLocation', 'velero', 'default')!
  await world.cluster.patch('BackupStorageLocation', location, { metadata: { annotations: { [OPEN_TO]: 'tenant-a' } } })
  assert.is(await reasonOf(accessOfRepository(world.deps, name, 'write')), 'LocationNotAllowed')
  assert.is(await reasonOf(accessOfRepository(world.deps, name)), 'none')
})

test("a BackupRepository of somebody else under the claim's name is neither used, changed nor deleted", async () => {
  const others: object[] = [{ backupRepositoryClaim: 'other' }, { metadata: { annotations: { [FROM]: 'tenant-a' } } }]
  for (const fields of others) {
    const world = new World()
    const claim = world.claim({ namespace: 'velero', parameters: { bucket: 'backups' } })
    world.repository(`br-${claim.metadata.uid}`, fields)
    const before = world.repositoryOf(claim)
    await world.handle(claim)
    assert.is(world.ready(claim)?.reason, 'RepositoryNotOwn')
    assert.equal(world.opened, [])
    assert.equal(world.repositoryOf(claim), before)
    await world.cluster.delete('BackupRepositoryClaim', claim)
    await world.handle(claim)
    assert.equal(world.repositoryOf(claim), before)
    assert.is(world.cluster.peek('BackupRepositoryClaim', 'velero', 'mine'), undefined, 'the claim itself goes')
  }
})

test('a claim that names the BackupRepository of another one gets none', async () => {
  const world = new World()
  world.location('default', '*')
  const claim = world.claim({
    parameters: { backupStorageLocation: 'default' },
    more: { backupRepository: 'br-other' },
  })
  await world.handle(claim)
  world.assertRefused(claim, 'RepositoryNotOwn', 'another name')
})

test('deleting a claim deletes its own BackupRepository', async () => {
  const world = new World()
  world.location('default', '*')
  const claim = world.claim({ parameters: { backupStorageLocation: 'default' } })
  await world.handle(claim)
  await world.cluster.delete('BackupRepositoryClaim', world.cluster.peek('BackupRepositoryClaim', 'tenant-b', 'mine')!)
  await world.handle(claim)
  assert.is(world.repositoryOf(claim), undefined)
})

test("the server's words reach the log and the BackupRepository, not the tenant", async () => {
  const world = new World()
  world.location('default', '*')
  world.trouble = new RetryableError('S3Unavailable', 'https://10.0.0.7/ answered <h1>Login of intern.example</h1>')
  const claim = world.claim({ parameters: { backupStorageLocation: 'default' } })
  await world.handle(claim)
  const seen = JSON.stringify([world.ready(claim), world.cluster.peek('BackupRepositoryClaim', 'tenant-b', 'mine')])
  const events = world.cluster.peekAll('Event').filter(({ metadata }) => metadata.namespace === 'tenant-b')
  assert.is(events.length, 1)
  assert.not.match(seen + JSON.stringify(events), /10\.0\.0\.7|Login|intern/)
  assert.is(world.ready(claim)?.reason, 'S3Unavailable')
  assert.match(world.ready(claim)?.message ?? '', `BackupRepository br-${claim.metadata.uid}`)
  assert.match(JSON.stringify(world.repositoryOf(claim)?.['status']), /10\.0\.0\.7/)
  assert.match(world.lines.join('\n'), /10\.0\.0\.7/)
})

test('an operator reads the whole message', async () => {
  const world = new World()
  world.trouble = new RetryableError('S3Unavailable', 'https://10.0.0.7/ is away')
  const claim = world.claim({ namespace: 'velero', parameters: { bucket: 'backups' } })
  await world.handle(claim)
  assert.match(world.ready(claim)?.message ?? '', /10\.0\.0\.7/)
})

test('conditions that a tenant wrote into the claim do not reach the BackupRepository', async () => {
  const world = new World()
  world.location('default', '*')
  world.trouble = new RetryableError('S3Unavailable', 'away')
  const planted = {
    type: 'ConcurrentPruneSafe',
    status: 'True',
    reason: 'x',
    message: 'planted',
    lastTransitionTime: '2026-11-30T00:00:00Z',
  }
  const claim = world.claim({
    parameters: { backupStorageLocation: 'default' },
    more: { status: { conditions: [planted] } },
  })
  await world.handle(claim)
  assert.not.match(JSON.stringify(world.repositoryOf(claim)?.['status']), /planted/)
})

test('the BackupRepository also reports parameters that cannot be used', async () => {
  const world = new World()
  const claim = world.claim({ namespace: 'velero', parameters: { bucket: 'backups', region: 'us_east' } })
  await world.handle(claim)
  const own = world.cluster.peek('BackupRepository', undefined, `br-${claim.metadata.uid}`)
  const ready = (own?.['status']?.conditions ?? []).find(({ type }: { type: string }) => type === 'Ready')
  assert.is(ready?.reason, 'RepositoryParametersInvalid')
})

test.run()
