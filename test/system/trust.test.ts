// Two tenants with real ServiceAccounts, two repositories, a foreign program and another cluster on one vCenter and bucket: nothing foreign is
// read, changed, deleted or connected to, and each refusal has its reason.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Condition, KindName } from '#shared/api/kinds.ts'
import { STEP_LABEL } from '#shared/domain/step-label.ts'
import { systemClock } from '#shared/kernel/clock.ts'
import { readVSphereConfig } from '#shared/providers/vsphere/config.ts'
import { createVolumeService } from '#shared/providers/vsphere/service.ts'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { until } from '#test/environment/fixtures/echo/start.ts'
import { aSnapshot, type Backup, backUp, claimRepository, remove, restore, typeOf } from '#test/environment/main-job.ts'
import { noise, sha256, writePieces } from '#test/environment/storage/content.ts'
import { aLocation } from '#test/environment/storage/location.ts'
import type { Volume } from '#test/environment/storage/volume.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { askForClone, askForDeletion, endOf } from './support/bad-input.ts'
import { type ForeignWorld, foreignWorld, Lure, type Watched } from './support/foreign-world.ts'
import { b64, type Hostile, hostileObjects, type Known } from './support/hostile-objects.ts'
import { aTenant, plant, type Tenant } from './support/tenants.ts'

const MIB = 2 ** 20
const VICTIM = { namespace: 'app', name: 'orders' }
const OWN = { namespace: 'tenant-b', name: 'data' }
const SECONDS = 1000

const trust = suite('trust')
let environment: Environment
let lure: Lure
let tenant: Tenant
let victim: Volume
let own: Volume
let sealed: Backup
let ownBackup: Backup
let known: Known
let watched: Watched
let before: ForeignWorld

trust.before(async () => {
  environment = await startEnvironment({
    env: { DORMOUSE_BIND_TIMEOUT_SECONDS: '5', DORMOUSE_BACKOFF_UNIT_SECONDS: '1' },
    pingEveryMs: { 'dormouse-sweep': 2000 },
    idleMs: 120 * SECONDS,
  })
  lure = await Lure.start()
  tenant = await aTenant(environment, OWN.namespace)
  await aTenant(environment, VICTIM.namespace)
  victim = await environment.createVolume({ ...VICTIM, sizeBytes: 16 * MIB })
  own = await environment.createVolume({ ...OWN, sizeBytes: 16 * MIB })
  await writePieces(victim.file, [{ offsetBytes: MIB, data: noise('orders', 4 * MIB) }])
  await writePieces(own.file, [{ offsetBytes: 0, data: noise('data', 2 * MIB) }])
  const [forVictim, open, shared, apart, group] = await Promise.all([
    claimRepository(environment, { allowedNamespaces: [VICTIM.namespace] }),
    claimRepository(environment, { allowedNamespaces: [] }),
    // As Velero's plugin makes them: one for each namespace, over one bucket.
    claimRepository(environment, { allowedNamespaces: [OWN.namespace] }),
    claimRepository(environment, { allowedNamespaces: [OWN.namespace], prefix: 'tenant-b' }),
    claimRepository(environment, { allowedNamespaces: [VICTIM.namespace, 'copy'] }),
  ])
  await environment.api.apply(aLocation(environment.s3, 'closed'))
  const opened = aLocation(environment.s3, 'opened')
  const annotations = { 'dormouse.dev/allowed-namespaces': OWN.namespace }
  await environment.api.apply({ ...opened, metadata: { ...opened.metadata, annotations } })
  sealed = await backUp(environment, VICTIM, forVictim)
  ownBackup = await backUp(environment, OWN, shared)
  const inGroup = { ...sealed.snapshot, spec: { ...sealed.snapshot['spec'], backupRepository: group } } as LooseObject
  const copied = await restore(environment, { snapshot: inGroup }, 'copy')
  assert.is(await sha256(copied.volume.file), await sha256(victim.file), 'an operator lets one group restore')
  await environment.api.create(aSnapshot('local', VICTIM, ''))
  const local = await endInLocalMode('local')
  known = {
    namespace: VICTIM.namespace,
    claim: VICTIM.name,
    volumeName: victim.volumeName,
    fcdId: victim.fcdId,
    sealed: sealed.snapshot['status'],
    local,
    ...(await takenByOthers()),
    downloadName: copied.clone['status'].downloadName,
    repositories: { victim: forVictim, open, shared, own: apart },
    lurePort: lure.port,
    location: 'closed',
    openLocation: 'opened',
  }
  watched = {
    namespaces: [VICTIM.namespace, 'copy'],
    volumes: [victim.volumeName, copied.volume.volumeName],
    disks: [victim.fcdId, copied.volume.fcdId],
    prefixes: ['plugins/'],
  }
  before = await foreignWorld(environment, watched)
})
trust.after(async () => {
  tenant?.api.close()
  await lure?.stop()
  await environment.stop()
})

async function endInLocalMode(name: string): Promise<string> {
  const isTaken = (object: LooseObject | undefined) => object?.['status']?.phase === 'Snapshotted'
  const { object } = await environment.waitFor('Snapshot', VICTIM.namespace, name, isTaken)
  return object['status'].snapshotID
}

/** Disk snapshots of the victim's disk that neither this cluster nor Dormouse has made. */
async function takenByOthers(): Promise<{ foreign: string; otherCluster: string }> {
  const config = readVSphereConfig(environment.vcenter.configText(), () => undefined)
  const vcenter = createVolumeService({ loadConfig: async () => config, clock: systemClock })
  const take = async (description: string) => {
    const task = await vcenter.startSnapshot(victim.fcdId, description)
    const isTaken = async () => (await vcenter.pollTask(task)).state === 'done'
    await until(`the snapshot ${description}`, isTaken)
    const { snapshots } = (await environment.vcenter.disk(victim.fcdId))!
    const { id } = snapshots.find((one) => one.description === description)!
    return `pvc:${OWN.namespace}/data:${b64(`ivd:${victim.fcdId}:${id}`)}`
  }
  try {
    const otherCluster = await take('dormouse/another-cluster/11111111-2222-4333-8444-555555555555')
    return { foreign: await take('before the upgrade'), otherCluster }
  } finally {
    await vcenter.close()
  }
}

function reasonOf({ status }: LooseObject): string | undefined {
  const ready = status?.conditions?.find(({ type }: Condition) => type === 'Ready')
  return status?.reason ?? ready?.reason
}

const ENDS = ['Failed', 'SnapshotFailed', 'UploadFailedAfterRetry', 'Canceled', 'Completed', 'Uploaded', 'Snapshotted']

/** The result once it does not change any more: `refused`, `nobody`, or its reason. */
async function endOfHostile(hostile: Hostile): Promise<string> {
  try {
    await plant(tenant.api, hostile)
  } catch (error) {
    const { status } = error as { status?: number }
    if (status === undefined || status >= 500) throw error
    return 'refused'
  }
  if (hostile.ends === 'nobody') return 'nobody'
  const { kind, metadata } = hostile.object
  const told = (object: LooseObject | undefined) => {
    if (object === undefined) return false
    const { phase } = object['status'] ?? {}
    if (kind === 'BackupRepositoryClaim') return reasonOf(object) !== undefined
    return object.metadata.labels?.[STEP_LABEL] === 'done' && ENDS.includes(phase)
  }
  const { object } = await environment.waitFor(kind as KindName, OWN.namespace, metadata.name, told, 60 * SECONDS)
  return reasonOf(object) ?? '(none)'
}

trust(
  'a hostile tenant reads, changes, deletes and reaches nothing of others, and each refusal has its reason',
  async () => {
    await environment.api.create({
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'stolen', namespace: OWN.namespace },
      spec: { ...victim.claim['spec'], volumeName: victim.volumeName },
    })
    const stolen = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace: OWN.namespace, name: 'stolen' }
    await tenant.api.patch(stolen, { status: { phase: 'Bound' } }, 'status')
    const all = hostileObjects(OWN.namespace, known)
    assert.ok(all.length >= 30)
    const wrong: string[] = []
    for (const hostile of all) {
      const ended = await endOfHostile(hostile)
      const asWanted = typeof hostile.ends === 'string' ? ended === hostile.ends : hostile.ends.test(ended)
      if (!asWanted) wrong.push(`${hostile.what}: ${ended}, want ${hostile.ends}`)
    }
    assert.equal(wrong, [])
    await environment.ping('dormouse-sweep')
    await environment.ping('dormouse-orphans')
    assert.equal(await foreignWorld(environment, watched), before)
    assert.is(lure.connections, 0)
  },
)

trust('objects that no function handles stay as they were written, through sweeps', async () => {
  for (const kind of ['Upload', 'Download'] as const) {
    const [object] = await environment.api.list(typeOf(kind).apiVersion, kind, OWN.namespace)
    assert.equal([object?.['status']?.phase, object?.metadata.finalizers], [undefined, undefined], kind)
  }
})

trust('RBAC keeps a tenant out of the Velero namespace and of cluster-scoped objects', async () => {
  const refused = async (work: Promise<unknown>): Promise<number | undefined> =>
    await work.then(
      () => undefined,
      (error: { status?: number }) => error.status,
    )
  const upload = {
    ...typeOf('Upload'),
    metadata: { name: 'planted', namespace: 'velero' },
    spec: { snapshotID: known.local, backupRepository: known.repositories.own },
  }
  const repository = {
    ...typeOf('BackupRepository'),
    metadata: { name: 'planted' },
    repositoryDriver: 's3repository.astrolabe.vmware-tanzu.com',
    backupRepositoryClaim: 'x',
  }
  const key = { apiVersion: 'v1', kind: 'Secret', namespace: 'velero', name: 'dormouse-repository-key' }
  assert.is(await refused(tenant.api.create(upload)), 403)
  assert.is(await refused(tenant.api.create(repository)), 403)
  assert.is(await refused(tenant.api.get(key)), 403)
})

trust('a tenant restores and deletes its own backups', async () => {
  const content = await sha256(own.file)
  await tenant.api.delete({ apiVersion: 'v1', kind: 'PersistentVolumeClaim', ...OWN })
  await environment.waitFor('PersistentVolumeClaim', OWN.namespace, OWN.name, (claim) => claim === undefined)
  const { volume } = await restore(environment, ownBackup, OWN.namespace)
  assert.is(await sha256(volume.file), content)
  const { snapshotID } = ownBackup.snapshot['status']
  await tenant.api.create({
    ...typeOf('DeleteSnapshot'),
    metadata: { name: 'own', namespace: OWN.namespace },
    spec: { snapshotID, backupRepository: known.repositories.shared },
  })
  const deleted = await endOf(environment, 'DeleteSnapshot', OWN.namespace, 'own')
  assert.is(deleted['status'].phase, 'Completed', deleted['status'].message)
  const again = await askForClone(environment, 'tenant-b', {
    snapshotID,
    metadata: ownBackup.snapshot['status'].metadata,
    repository: known.repositories.shared,
  })
  const clone = await endOf(environment, 'CloneFromSnapshot', OWN.namespace, again)
  assert.is(clone['status'].phase, 'Failed', 'it is gone')
})

trust("an operator deletes a tenant's backup, and no disk snapshot of others", async () => {
  await remove(environment, sealed)
  const name = await askForDeletion(environment, known.otherCluster, known.repositories.victim)
  await endOf(environment, 'DeleteSnapshot', 'velero', name)
  const { disks } = await foreignWorld(environment, watched)
  assert.equal(disks, before.disks)
})

trust.run()
