// What the rules of a user's namespace and the zones of a cluster do to a restore, with the real quota controller, the API server's own
// admission, the real Velero, and a driver that makes a disk only where external-provisioner would.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { decodeClaimMetadata, encodeClaimMetadata } from '#shared/domain/claim-metadata.ts'
import { RESTORED_VOLUME_ANNOTATION } from '#shared/domain/restored-volume.ts'
import { CLONE_LABEL } from '#shared/domain/staging.ts'
import type { Environment } from '#test/environment/environment.ts'
import { until } from '#test/environment/fixtures/echo/start.ts'
import type { Recorder } from '#test/environment/kubernetes/wait.ts'
import { type Backup, backUp, claimRepository, typeOf } from '#test/environment/main-job.ts'
import { applyNode, NODE_NAME, STORAGE_CLASSES, storageClass } from '#test/environment/seed.ts'
import { sha256 } from '#test/environment/storage/content.ts'
import { type Volume, volumeOf } from '#test/environment/storage/volume.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { sideBySide } from '#test/support/side-by-side.ts'
import { askForClone, assertRefused, endOf, hasEvent, untilTold } from './support/bad-input.ts'
import { aFilledVolume, assertCompleted, listOf, OVER, startWithPlugin, untilPhase } from './support/velero.ts'

const CLAIM = { namespace: 'shop', name: 'orders' }
const CLAIM_TYPE = { apiVersion: 'v1', kind: 'PersistentVolumeClaim' }
const ZONE = 'topology.csi.vmware.com/k8s-zone'
const ZONAL = 'vsphere-zonal'

const rules = suite('the rules of a namespace')
let environment: Environment
let volume: Volume
let backup: Backup
let repository: string
let claims: Recorder
let hash: string

rules.before(async () => {
  environment = await startWithPlugin({ quota: true, movers: 4, env: { DORMOUSE_BIND_TIMEOUT_SECONDS: '10' } })
  await addZones()
  repository = await claimRepository(environment)
  volume = await aFilledVolume(environment, CLAIM.namespace, CLAIM.name, { labels: { team: 'orders' } })
  hash = await sha256(volume.file)
  backup = await backUp(environment, CLAIM, repository)
  claims = await environment.record('PersistentVolumeClaim')
})
rules.after(async () => {
  await environment.stop()
})

/** Waits until the controller has counted the quota. */
async function aQuota(namespace: string, hard: Record<string, string>): Promise<void> {
  await environment.createNamespace(namespace)
  const quota = { apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'small', namespace } }
  await environment.api.apply({ ...quota, spec: { hard } })
  const ref = { apiVersion: 'v1', kind: 'ResourceQuota', namespace, name: 'small' }
  const isCounted = async () =>
    Object.keys((await environment.api.get(ref))?.['status']?.used ?? {}).length === Object.keys(hard).length
  await until(`the quota of ${namespace} is counted`, isCounted, 30_000)
}

const ONE_CLAIM = { persistentvolumeclaims: '1', 'requests.storage': '16Mi' }

/** The namespaces in which the staging claims of restores into that namespace were made. */
function stagedFor(namespace: string): string[] {
  const staging = claims.seen.filter(({ object }) =>
    object.metadata.annotations?.['dormouse.dev/clone']?.startsWith(`${namespace}/`),
  )
  const places = staging
    .filter(({ object }) => object.metadata.name.startsWith('dormouse-'))
    .map(({ object }) => object.metadata.namespace ?? '')
  return [...new Set(places)]
}

async function assertRestored(namespace: string): Promise<LooseObject> {
  const copy = await volumeOf(environment, namespace, CLAIM.name)
  assert.is(await sha256(copy.file), hash)
  return copy.claim
}

async function assertNoStaging(namespace?: string): Promise<void> {
  const isGone = async () => {
    const claims = await listOf(environment, 'PersistentVolumeClaim', namespace)
    return claims.every(({ metadata }) => !metadata.name.startsWith('dormouse-'))
  }
  await until('no staging claim is left', isGone, 30_000)
}

async function ask(namespace: string, change: (stored: LooseObject) => void = () => {}): Promise<string> {
  const { snapshotID, metadata } = backup.snapshot['status']
  const stored = decodeClaimMetadata(metadata)
  change(stored)
  return await askForClone(environment, namespace, { snapshotID, metadata: encodeClaimMetadata(stored), repository })
}

async function restoredByHand(namespace: string, change?: (stored: LooseObject) => void): Promise<LooseObject> {
  return await endOf(environment, 'CloneFromSnapshot', namespace, await ask(namespace, change), 120_000)
}

const atOnce = sideBySide(rules)

atOnce('a restore of Velero fits into a quota in which its claim alone fits', async () => {
  await aQuota('tight', ONE_CLAIM)
  await environment.velero('backup', 'create', 'nightly', '--include-namespaces', 'shop', '--wait')
  await untilPhase(environment, 'Backup', 'nightly', OVER)
  await assertCompleted(environment, 'Backup', 'nightly')
  await environment.velero(
    ...['restore', 'create', 'tight', '--from-backup', 'nightly', '--namespace-mappings', 'shop:tight', '--wait'],
  )
  await assertCompleted(environment, 'Restore', 'tight')
  await assertRestored('tight')
  assert.equal(stagedFor('tight'), ['velero'])
  await assertNoStaging('velero')
})

atOnce('a restore by hand fits into a quota in which its claim alone fits', async () => {
  await aQuota('tight-by-hand', ONE_CLAIM)
  const clone = await restoredByHand('tight-by-hand')
  assert.is(clone['status'].phase, 'Completed', clone['status'].message)
  await assertRestored('tight-by-hand')
  assert.equal(stagedFor('tight-by-hand'), ['tight-by-hand'])
})

atOnce('a quota without room ends the restore soon, by a reason of its own and with an Event', async () => {
  await aQuota('full', { ...ONE_CLAIM, 'requests.storage': '8Mi' })
  const name = await ask('full')
  await untilTold(environment, 'CloneFromSnapshot', 'full', name, 'QuotaExceeded')
  await assertRefused(environment, await endOf(environment, 'CloneFromSnapshot', 'full', name), {
    phase: 'Failed',
    reason: 'QuotaExceeded',
    message: /exceeded quota: small, requested: requests\.storage=16Mi.*waited 10 s/,
    condition: 'Restored',
  })
  assert.equal(await listOf(environment, 'PersistentVolumeClaim', 'full'), [])
})

atOnce(
  'a waiting claim without a Restore of Velero counts twice against the quota, and its restore says so in an Event',
  async () => {
    await aQuota('forged', ONE_CLAIM)
    const { snapshotID, metadata } = backup.snapshot['status']
    const awaited = 'dormouse-forged'
    await environment.group.share(repository)
    const clone = await environment.api.create({
      ...typeOf('CloneFromSnapshot'),
      metadata: { name: 'forged', namespace: 'forged', annotations: { [RESTORED_VOLUME_ANNOTATION]: awaited } },
      spec: {
        snapshotID,
        metadata,
        apiGroup: '',
        kind: 'PersistentVolumeClaim',
        backupRepository: repository,
        cloneCancel: false,
      },
    })
    const { accessModes, resources, storageClassName } = volume.claim['spec']
    const claim = await environment.api.create({
      ...CLAIM_TYPE,
      metadata: { namespace: 'forged', name: CLAIM.name, labels: { [CLONE_LABEL]: clone.metadata.uid ?? '' } },
      spec: { accessModes, resources, storageClassName, volumeName: awaited },
    })
    const ended = await endOf(environment, 'CloneFromSnapshot', 'forged', 'forged')
    assert.equal([ended['status'].phase, ended['status'].reason], ['Failed', 'QuotaExceeded'], ended['status'].message)
    assert.ok(await hasEvent(environment, { ...claim, ...CLAIM_TYPE }, 'QuotaExceeded'))
    assert.equal(stagedFor('forged'), [])
  },
)

atOnce('a LimitRange against the claim ends the restore at once, by name', async () => {
  await environment.createNamespace('limited')
  await environment.api.apply({
    apiVersion: 'v1',
    kind: 'LimitRange',
    metadata: { name: 'small', namespace: 'limited' },
    spec: { limits: [{ type: 'PersistentVolumeClaim', max: { storage: '8Mi' } }] },
  })
  await assertRefused(environment, await restoredByHand('limited'), {
    phase: 'Failed',
    reason: 'AdmissionDenied',
    message: /maximum storage usage per PersistentVolumeClaim is 8Mi, but request is 16Mi/,
    condition: 'Restored',
  })
})

/** A policy has its effect only some time after its creation. */
async function aPolicy(namespace: string): Promise<void> {
  await environment.createNamespace(namespace)
  const admission = { apiVersion: 'admissionregistration.k8s.io/v1' }
  await environment.api.apply({
    ...admission,
    kind: 'ValidatingAdmissionPolicy',
    metadata: { name: 'team' },
    spec: {
      matchConstraints: {
        resourceRules: [
          { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['persistentvolumeclaims'] },
        ],
      },
      validations: [{ expression: "'team' in object.metadata.?labels.orValue({})", message: 'who owns it?' }],
    },
  })
  await environment.api.apply({
    ...admission,
    kind: 'ValidatingAdmissionPolicyBinding',
    metadata: { name: 'team' },
    spec: {
      policyName: 'team',
      validationActions: ['Deny'],
      matchResources: { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } } },
    },
  })
  const { accessModes, resources } = volume.claim['spec']
  const probe = { ...CLAIM_TYPE, metadata: { name: 'probe', namespace }, spec: { accessModes, resources } }
  const acts = async () => {
    const path = `/api/v1/namespaces/${namespace}/persistentvolumeclaims?dryRun=All`
    return (await environment.api.send('POST', path, probe)).status === 422
  }
  await until('the policy acts', acts, 30_000)
}

atOnce(
  'an admission policy that wants a label takes the staging claim with the labels of its claim, and refuses by name',
  async () => {
    await aPolicy('owned')
    await assertRefused(environment, await restoredByHand('owned', (stored) => delete stored.metadata.labels), {
      phase: 'Failed',
      reason: 'AdmissionDenied',
      message: /ValidatingAdmissionPolicy 'team' with binding 'team' denied request: who owns it\?/,
      condition: 'Restored',
    })
    const clone = await restoredByHand('owned')
    assert.is(clone['status'].phase, 'Completed', clone['status'].message)
    assert.is((await assertRestored('owned')).metadata.labels?.['team'], 'orders')
  },
)

async function addZones(): Promise<void> {
  const node = (name: string, zone: string) => ({ name, labels: { [ZONE]: zone }, topologyKeys: [ZONE] })
  await applyNode(environment.api, node('a', 'zone-a'))
  await applyNode(environment.api, node('z', 'zone-b'))
  await applyNode(environment.api, { ...node('y', 'zone-b'), topologyKeys: null })
  await applyNode(environment.api, { ...node('x', 'zone-b'), taints: [{ key: 'gpu', effect: 'NoSchedule' }] })
  for (const [name, zone] of [
    [ZONAL, 'zone-b'],
    [`${ZONAL}-c`, 'zone-c'],
  ] as const)
    await environment.api.apply({
      ...storageClass(name, 'WaitForFirstConsumer'),
      allowedTopologies: [{ matchLabelExpressions: [{ key: ZONE, values: [zone] }] }],
    })
}

const ofClass = (storageClassName: string) => (stored: LooseObject) => {
  Object.assign(stored['spec'], { storageClassName })
}

atOnce('a class of one zone gets the node of that zone, and not the first one', async () => {
  const clone = await restoredByHand('zonal', ofClass(ZONAL))
  assert.is(clone['status'].phase, 'Completed', clone['status'].message)
  const claim = await assertRestored('zonal')
  const ref = { apiVersion: 'v1', kind: 'PersistentVolume', name: claim['spec'].volumeName }
  const { nodeAffinity } = (await environment.api.get(ref))?.['spec'] ?? {}
  const matchExpressions = [{ key: ZONE, operator: 'In', values: ['zone-b'] }]
  assert.equal(nodeAffinity, { required: { nodeSelectorTerms: [{ matchExpressions }] } })
  assert.equal(environment.parts.csi.refusals, [])
})

atOnce('a class that allows every zone passes over the node without one, where the driver knows zones', async () => {
  assert.ok(NODE_NAME > 'a')
  const clone = await restoredByHand('anywhere', ofClass(STORAGE_CLASSES.waiting))
  assert.is(clone['status'].phase, 'Completed', clone['status'].message)
  assert.equal(environment.parts.csi.refusals, [])
})

atOnce('no node in the zones of the class: the restore ends by a reason that names them', async () => {
  const name = await ask('nowhere', ofClass(`${ZONAL}-c`))
  await untilTold(environment, 'CloneFromSnapshot', 'nowhere', name, 'NoNodeInTopology')
  await assertRefused(environment, await endOf(environment, 'CloneFromSnapshot', 'nowhere', name), {
    phase: 'Failed',
    reason: 'NoNodeInTopology',
    message:
      /allows only topology\.csi\.vmware\.com\/k8s-zone in \[zone-c\], where no node can have its disk.*waited 10 s/,
    condition: 'Restored',
  })
  assert.equal(await listOf(environment, 'PersistentVolumeClaim', 'nowhere'), [])
  assert.equal(environment.parts.csi.refusals, [])
})

rules("a restore of Velero that is deleted without its finalizer leaves nothing in Velero's namespace", async () => {
  const map = { apiVersion: 'v1', kind: 'ConfigMap', namespace: 'velero', name: 'classes' }
  const labels = { 'velero.io/plugin-config': '', 'velero.io/change-storage-class': 'RestoreItemAction' }
  await environment.api.apply({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: map.name, namespace: map.namespace, labels },
    data: { [STORAGE_CLASSES.immediate]: STORAGE_CLASSES.never },
  } as LooseObject)
  await environment.velero(
    ...['restore', 'create', 'torn', '--from-backup', 'nightly', '--namespace-mappings', 'shop:torn'],
  )
  const staging = async () =>
    (await listOf(environment, 'PersistentVolumeClaim', 'velero')).filter(({ metadata }) =>
      metadata.annotations?.['dormouse.dev/clone']?.startsWith('torn/'),
    )
  await until('the staging claim stands', async () => (await staging()).length === 1, 60_000)
  const [clone] = await listOf(environment, 'CloneFromSnapshot', 'torn')
  const ref = { ...typeOf('CloneFromSnapshot'), namespace: 'torn', name: clone?.metadata.name ?? '' }
  await environment.api.delete(ref)
  await environment.api.patch(ref, { metadata: { finalizers: null } }).catch(() => undefined)
  await environment.api.delete(map)
  await assertNoStaging()
})

rules.run()
