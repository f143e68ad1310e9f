// A tenant's BackupRepositoryClaim on the real API: it never makes Dormouse connect, or send a Secret, to an address that the tenant
// chooses. A listener on loopback counts connections.

import { randomUUID } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Condition } from '#shared/api/kinds.ts'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { aSnapshot, backUp, repositoryParameters, restore, typeOf } from '#test/environment/main-job.ts'
import { REPOSITORY_SECRET, secret } from '#test/environment/seed.ts'
import { noise, sha256, writePieces } from '#test/environment/storage/content.ts'
import { aLocation } from '#test/environment/storage/location.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { untilReason } from './support/bad-input.ts'
import { claimWith, readyOf, untilReady } from './support/repository-claim.ts'

const MIB = 2 ** 20
const OPEN_TO = 'dormouse.dev/allowed-namespaces'
const TENANT = 'tenant-b'
const KEY_AS_SSE_C = `${REPOSITORY_SECRET}/password`

const tenants = suite('claims of tenants on a real API server')
let environment: Environment
let attacker: Server
let connections = 0
let attackerUrl: string

tenants.before(async () => {
  attacker = createServer((_request, response) => {
    response.writeHead(403, { 'content-type': 'text/html' })
    response.end('<html><title>Login of intern.example</title>password: hunter2</html>')
  })
  attacker.on('connection', () => void connections++)
  await new Promise<void>((resolve) => attacker.listen(0, '127.0.0.1', resolve))
  attackerUrl = `http://127.0.0.1:${(attacker.address() as AddressInfo).port}`
  environment = await startEnvironment({
    pingEveryMs: { 'dormouse-sweep': 2000 },
    env: { DORMOUSE_DUE_SECONDS: '1', DORMOUSE_BACKOFF_UNIT_SECONDS: '1' },
  })
  await environment.createNamespace(TENANT)
  // As install.md says: 32 bytes in base64, which would pass for an SSE-C key.
  const { recoveryPassphrase } = environment.parts.repositoryKey
  const password = Buffer.alloc(32, 9).toString('base64')
  await environment.api.apply(secret(REPOSITORY_SECRET, { password, 'recovery-passphrase': recoveryPassphrase }))
})
tenants.after(async () => {
  await environment?.stop()
  attacker?.closeAllConnections()
  attacker?.close()
})

async function open(location: LooseObject, openTo: string): Promise<void> {
  const metadata = { ...location.metadata, annotations: { [OPEN_TO]: openTo } }
  await environment.api.apply({ ...location, metadata } as LooseObject)
}

async function claimAs(namespace: string, parameters: Record<string, string>, more: object = {}): Promise<string> {
  const name = `brc-${randomUUID()}`
  await environment.api.create({
    ...typeOf('BackupRepositoryClaim'),
    metadata: { name, namespace },
    repositoryDriver: 's3repository.astrolabe.vmware-tanzu.com',
    repopsitoryParameters: parameters,
    ...more,
  })
  return name
}

async function untilTold(
  namespace: string,
  name: string,
  isWanted: (ready: Condition) => boolean,
): Promise<LooseObject> {
  return await untilReady(environment, name, isWanted, namespace)
}

/** Answered GETs of single Secrets. */
async function secretReads(): Promise<number> {
  const lines = (await environment.kubectl('get', '--raw', '/metrics')).split('\n')
  const found = lines.filter(
    (line) =>
      line.startsWith('apiserver_request_total{') && line.includes('resource="secrets"') && line.includes('verb="GET"'),
  )
  return found.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}

async function dueAgain(namespace: string, name: string): Promise<void> {
  const ref = { ...typeOf('BackupRepositoryClaim'), namespace, name }
  const annotations = { 'dormouse.dev/due': new Date().toISOString() }
  await environment.api.patch(ref, { metadata: { labels: { 'dormouse.dev/step': 'repository' }, annotations } })
}

tenants(
  'a claim with an endpoint and Secrets of its own is refused: no connection is made, and no Secret is read',
  async () => {
    await open(aLocation(environment.s3, 'closed'), 'tenant-a')
    await open(aLocation(environment.s3, 'shared'), `tenant-a,${TENANT}`)
    const before = { connections, reads: await secretReads() }
    const url = attackerUrl.replace('http:', 'https:')
    const hostile = {
      bucket: 'loot',
      s3Url: url,
      insecureSkipTLSVerify: 'true',
      customerKeyEncryptionSecret: KEY_AS_SSE_C,
    }
    const cases: [Record<string, string>, reason: string, more?: object][] = [
      [hostile, 'LocationNotAllowed'],
      [{ ...hostile, s3Url: attackerUrl, customerKeyEncryptionSecret: '' }, 'LocationNotAllowed'],
      [{ ...hostile, backupStorageLocation: 'closed' }, 'LocationNotAllowed'],
      [{ ...hostile, backupStorageLocation: 'no-such' }, 'LocationNotAllowed'],
      [{ backupStorageLocation: 'closed' }, 'LocationNotAllowed'],
      [{ ...hostile, backupStorageLocation: 'shared' }, 'ParametersNotAllowed'],
      [{ s3Url: attackerUrl, backupStorageLocation: 'shared' }, 'ParametersNotAllowed'],
      [{ encryptionSecretName: 'cloud-credentials', backupStorageLocation: 'shared' }, 'ParametersNotAllowed'],
      [{ backupStorageLocation: 'shared' }, 'NamespaceNotAllowed', { allowedNamespaces: ['tenant-a', TENANT] }],
    ]
    const asked = await Promise.all(
      cases.map(async ([parameters, reason, more]) => ({ reason, name: await claimAs(TENANT, parameters, more) })),
    )
    for (const { name, reason } of asked) {
      const claim = await untilTold(TENANT, name, () => true)
      assert.is(connections, before.connections, 'nobody may come to the listener')
      assert.is(readyOf(claim)?.reason, reason)
      assert.is(readyOf(claim)?.status, 'False')
      const repository = { ...typeOf('BackupRepository'), name: `br-${claim.metadata.uid}` }
      assert.is(await environment.api.get(repository), undefined, reason)
      assert.is(claim['backupRepository'], undefined)
    }
    // Handled again, and still refused.
    for (const { name } of asked) await dueAgain(TENANT, name)
    const isParked = (claim: LooseObject | undefined) => claim?.metadata.labels?.['dormouse.dev/step'] === 'waiting'
    for (const { name } of asked) await environment.waitFor('BackupRepositoryClaim', TENANT, name, isParked, 60_000)
    assert.equal({ connections, reads: await secretReads() }, before)
    for (const { name } of asked)
      await environment.api.delete({ ...typeOf('BackupRepositoryClaim'), namespace: TENANT, name })
  },
)

tenants("an operator's own mistake sends no key either", async () => {
  const before = connections
  const url = attackerUrl.replace('http:', 'https:')
  const name = await claimWith(environment, {
    s3Url: url,
    insecureSkipTLSVerify: 'true',
    customerKeyEncryptionSecret: KEY_AS_SSE_C,
  })
  const claim = await untilReady(environment, name, (ready) => ready.reason === 'RepositoryParametersInvalid')
  assert.match(
    readyOf(claim)?.message ?? '',
    /customerKeyEncryptionSecret: .*serves nothing else: put the SSE-C key into a Secret of its own/,
  )
  assert.is(connections, before)
})

tenants(
  "the message of an operator's server reaches the operator, and neither the tenant's claim nor its Events",
  async () => {
    const location = aLocation(environment.s3, 'portal')
    location['spec'].config.s3Url = attackerUrl
    await open(location, TENANT)
    const before = connections
    const name = await claimAs(TENANT, { backupStorageLocation: 'portal' })
    const claim = await untilTold(TENANT, name, (ready) => ready.status === 'False')
    assert.ok(connections > before, 'the listener counts')
    const events = await environment.api.list('v1', 'Event', TENANT)
    const own = events.filter(({ involvedObject }) => involvedObject.uid === claim.metadata.uid)
    assert.ok(own.length > 0)
    assert.not.match(JSON.stringify([claim['status'], own]), /127\.0\.0\.1|intern\.example|hunter2|Login/)
    const shown = await environment.api.get({ ...typeOf('BackupRepository'), name: `br-${claim.metadata.uid}` })
    assert.is(readyOf(shown)?.reason, readyOf(claim)?.reason)
    assert.is.not(readyOf(shown)?.message, readyOf(claim)?.message)
    await environment.api.delete({ ...typeOf('BackupRepositoryClaim'), namespace: TENANT, name })
  },
)

tenants(
  'an opened location serves backups and restores of its namespace alone, and takes no backups once it is closed',
  async () => {
    const claim = { namespace: TENANT, name: 'data' }
    const volume = await environment.createVolume({ ...claim, sizeBytes: 16 * MIB })
    await writePieces(volume.file, [{ offsetBytes: MIB, data: noise('tenant', 2 * MIB) }])
    const name = await claimAs(TENANT, { backupStorageLocation: 'shared', ...copiedFrom('shared') })
    const ready = await untilTold(TENANT, name, (condition) => condition.status === 'True')
    const repository: string = ready['backupRepository']
    const shown = await environment.api.get({ ...typeOf('BackupRepository'), name: repository })
    assert.equal(shown?.['allowedNamespaces'], [TENANT])
    const kept = await backUp(environment, claim, repository)

    await environment.createVolume({ namespace: 'tenant-a', name: 'data', sizeBytes: 16 * MIB })
    const foreign = `snap-${randomUUID()}`
    await environment.api.create(aSnapshot(foreign, { namespace: 'tenant-a', name: 'data' }, repository))
    await untilReason(environment, 'Snapshot', 'tenant-a', foreign, 'NamespaceNotAllowed')

    await open(aLocation(environment.s3, 'shared'), 'tenant-a')
    const late = `snap-${randomUUID()}`
    await environment.api.create(aSnapshot(late, claim, repository))
    const refused = await untilReason(environment, 'Snapshot', TENANT, late, 'LocationNotAllowed')
    assert.is(refused['status'].phase, 'SnapshotFailed', 'before a disk snapshot is taken')
    const hash = await sha256(volume.file)
    await environment.kubectl('delete', 'pvc', '-n', TENANT, 'data', '--wait=true')
    assert.is(await sha256((await restore(environment, kept, TENANT)).volume.file), hash)
  },
)

/** The settings of a location as a tenant's tool may copy them: equal values are allowed. */
function copiedFrom(prefix: string): Record<string, string> {
  const { bucket, s3Url } = repositoryParameters(environment)
  return { bucket: bucket!, s3Url: s3Url!, prefix }
}

tenants.run()
