import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import type { Cluster } from '#shared/ports/cluster.ts'
import type { ObjectStore } from '#shared/ports/object-store.ts'
import type { VolumeFacts } from '#shared/ports/volumes.ts'
import type { VCenter } from '#shared/providers/vsphere/config.ts'
import type { VCenterProbe } from '#shared/providers/vsphere/probe.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { bucketSpec, stores } from '#test/support/stores.ts'
import { checkChangeTracking } from '../../cli/checks/change-tracking.ts'
import { checkCluster } from '../../cli/checks/cluster.ts'
import { checkCsiFeature } from '../../cli/checks/csi-feature.ts'
import { checkFlavor } from '../../cli/checks/flavor.ts'
import { checkNodes } from '../../cli/checks/nodes.ts'
import { checkPorts } from '../../cli/checks/ports.ts'
import { checkRepositoryKeys } from '../../cli/checks/repository-key.ts'
import { checkStores, type StoreToCheck } from '../../cli/checks/stores.ts'
import { checkVCenters } from '../../cli/checks/vcenters.ts'
import { checkVddk } from '../../cli/checks/vddk.ts'
import { exitCodeOf, type Finding, lineOf, ok, problem, problemOf, warning } from '../../cli/finding.ts'

const test = suite('checks of dormouse doctor')

/** `level subject: text`, for short expectations. */
const told = (findings: Finding[]) => findings.map(({ level, subject, text }) => `${level} ${subject}: ${text}`)
const levels = (findings: Finding[]) => findings.map(({ level }) => level)
const trouble = new RetryableError('KubernetesUnavailable', 'GET /x: no answer', { origin: 'api' })

function anObject(kind: string, name: string, fields: object = {}, metadata: object = {}): LooseObject {
  return { apiVersion: 'v1', kind, metadata: { name, ...metadata }, ...fields }
}

const ALL = {
  '/version': { gitVersion: 'v1.34.4' },
  '/apis/backupdriver.cnsdp.vmware.com/v1alpha1': resources(
    'snapshots',
    'clonefromsnapshots',
    'deletesnapshots',
    'backuprepositories',
    'backuprepositoryclaims',
  ),
  '/apis/datamover.cnsdp.vmware.com/v1alpha1': resources('uploads', 'downloads'),
  '/apis/serving.knative.dev/v1': resources('services'),
  '/apis/eventing.knative.dev/v1': resources('triggers'),
  '/apis/sources.knative.dev/v1': resources('pingsources'),
  '/apis/velero.io/v1': resources('backupstoragelocations'),
}

function resources(...names: string[]) {
  return { resources: names.map((name) => ({ name })) }
}

const serving = (bodies: Record<string, object>) => async (path: string) =>
  bodies[path] === undefined ? { status: 404, body: {} } : { status: 200, body: bodies[path] }

test('a cluster that serves everything is well', async () => {
  const found = await checkCluster({ get: serving(ALL) })
  assert.ok(levels(found).every((level) => level === 'ok'))
  assert.match(found[0]!.text, 'v1.34.4')
})

test('each kind and each part of Knative that is missing is named with its fix', async () => {
  const { '/apis/serving.knative.dev/v1': _, '/apis/velero.io/v1': __, ...rest } = ALL
  const some = { ...rest, '/apis/datamover.cnsdp.vmware.com/v1alpha1': resources('uploads') }
  const found = (await checkCluster({ get: serving(some) })).filter(({ level }) => level !== 'ok')
  assert.equal(told(found), [
    'problem datamover.cnsdp.vmware.com/v1alpha1: not served: downloads',
    'problem serving.knative.dev/v1: Knative Serving is not installed',
    'warning velero.io/v1: Velero is not installed',
  ])
  assert.ok(found.every(({ fix }) => fix !== undefined))
})

test('a cluster that does not answer, or refuses all access, is reported as one problem', async () => {
  const away = await checkCluster({ get: () => Promise.reject(trouble) })
  assert.equal(away, [
    { check: 'cluster', subject: '', level: 'problem', text: trouble.message, reason: trouble.reason },
  ])
  assert.equal(levels(await checkCluster({ get: async () => ({ status: 401, body: {} }) })), ['problem'])
})

test("a guest cluster is a problem, as its disks are the Supervisor's", async () => {
  const cluster = (flavor: string) =>
    ({
      read: async (kind: string) =>
        kind === 'ConfigMap' ? anObject(kind, 'x', { data: { cluster_flavor: flavor } }) : undefined,
    }) as unknown as Cluster
  assert.equal(levels(await checkFlavor({ cluster: cluster('VANILLA'), namespace: 'velero' })), ['ok'])
  const [guest] = await checkFlavor({ cluster: cluster('GUEST'), namespace: 'velero' })
  assert.is(guest!.reason, 'GuestClusterUnsupported')
})

const aNode = (name: string, label: string | undefined, ready = 'True', unschedulable = false) =>
  anObject(
    'Node',
    name,
    { spec: { unschedulable }, status: { conditions: [{ type: 'Ready', status: ready }] } },
    label === undefined ? {} : { labels: { 'dormouse.dev/vddk': label } },
  )

test('transfers need a node with the label that is ready and takes pods', async () => {
  const nodes = async (...listed: LooseObject[]) => (await checkNodes({ listNodes: async () => listed }))[0]!
  assert.is((await nodes(aNode('a', 'true'), aNode('b', undefined))).level, 'ok')
  assert.is((await nodes(aNode('a', 'false'), aNode('b', undefined))).level, 'problem')
  assert.match((await nodes(aNode('a', undefined))).fix!, 'kubectl label node NODE dormouse.dev/vddk=true')
  assert.is((await nodes(aNode('a', 'true', 'Unknown'))).level, 'warning')
  assert.is((await nodes(aNode('a', 'true', 'True', true))).level, 'warning')
})

const aSecret = (data: Record<string, string>) =>
  anObject('Secret', 's', {
    data: Object.fromEntries(Object.entries(data).map(([k, v]) => [k, Buffer.from(v).toString('base64')])),
  })

test('a key without recovery is a warning, no key a problem', async () => {
  const secrets: Record<string, LooseObject> = {
    whole: aSecret({ password: 'p', 'recovery-public-key': 'x' }),
    bare: aSecret({ password: 'p' }),
  }
  const found = await checkRepositoryKeys({
    secretNames: ['whole', 'bare', 'absent'],
    readSecret: async (name) => secrets[name],
    listRepositories: async () => [],
  })
  assert.equal(levels(found), ['ok', 'warning', 'problem', 'note'])
  assert.is(found[2]!.reason, 'RepositoryKeyMissing')
})

test('the conditions of a repository are passed on', async () => {
  const condition = (type: string, status: string, reason: string) => ({ type, status, reason, message: `m ${reason}` })
  const listRepositories = async () => [
    anObject('BackupRepository', 'good', {
      status: {
        conditions: [
          condition('Ready', 'True', 'RepositoryOpened'),
          condition('RecoveryKeyMissing', 'True', 'NoRecoverySlot'),
        ],
      },
    }),
    anObject('BackupRepository', 'bad', { status: { conditions: [condition('Ready', 'False', 'BucketMissing')] } }),
    anObject('BackupRepository', 'new'),
  ]
  const found = await checkRepositoryKeys({ secretNames: [], readSecret: async () => undefined, listRepositories })
  assert.equal(told(found), [
    'ok good: m RepositoryOpened',
    'warning good: m NoRecoverySlot',
    'problem bad: m BucketMissing',
    'note new: nothing is known of it yet',
  ])
})

const aStore = (exists: boolean, name = 'b') =>
  ({
    location: `s3://${name}/dormouse`,
    get: async () => (exists ? new Uint8Array(1) : undefined),
  }) as unknown as ObjectStore
const toCheck = (subject: string, parameters: Record<string, string>, store: ObjectStore): StoreToCheck => ({
  subject,
  open: async () => ({
    parameters: stores.parse(bucketSpec({ bucket: 'bucket', ...parameters })),
    store: { ...store, close: () => undefined },
    notes: [],
    settingsText: store.location,
  }),
})

test('a store is read, written, and asked for conditional PUT, once for each place', async () => {
  const toLookInto = [
    toCheck('location a', {}, aStore(true)),
    toCheck('repository b', {}, aStore(true)),
    toCheck('location c', {}, aStore(false, 'c')),
  ]
  let probes = 0
  const probeConditionalPut = async () => probes++ === 0
  const found = await checkStores({ stores: toLookInto, probeConditionalPut })
  assert.is(probes, 2)
  assert.equal(levels(found), ['ok', 'ok', 'ok', 'warning'])
  assert.match(found[0]!.text, 'it holds a repository')
  assert.match(found[2]!.text, 'no repository yet')
})

test('a read-only location is not written to, not even to try', async () => {
  const readOnly = { ...toCheck('location a', {}, aStore(true)), readOnly: true }
  const probeConditionalPut = () => Promise.reject(new Error('it was written'))
  assert.equal(levels(await checkStores({ stores: [readOnly], probeConditionalPut })), ['ok', 'note'])
})

test('plain keys, an unchecked certificate and unknown parameters are warnings; a store that refuses is a problem', async () => {
  const loose = { aws_access_key_id: 'A', aws_secret_access_key: 'hidden', insecureSkipTLSVerify: 'true', typo: '1' }
  const refused: StoreToCheck = {
    subject: 'r',
    open: () => Promise.reject(new TerminalError('BucketMissing', 'create it')),
  }
  const found = await checkStores({
    stores: [toCheck('x', loose, aStore(true)), refused],
    probeConditionalPut: async () => true,
  })
  assert.equal(levels(found), ['warning', 'warning', 'warning', 'ok', 'ok', 'problem'])
  assert.is(found[5]!.reason, 'BucketMissing')
  assert.not.match(JSON.stringify(found), 'hidden')
})

const VCENTER: VCenter = { host: 'vc', port: 443, user: 'u', password: 'hidden', insecure: false }
const PROBE: VCenterProbe = {
  vcenter: 'vc',
  name: 'n',
  version: '8.0.3',
  apiVersion: '8.0.3.0',
  build: '1',
  trust: 'ca',
  thumbprintSha256: 'AA:BB',
  missingPrivileges: [],
}
const vcenters = (probe: Partial<VCenterProbe> | Error, clusterId = 'c1') =>
  checkVCenters({
    loadConfig: async () => ({ clusterId, vcenters: [VCENTER] }),
    probe: async () => (probe instanceof Error ? Promise.reject(probe) : { ...PROBE, ...probe }),
    clusterId: undefined,
  })

test('a vCenter that is trusted, new enough and grants all is well', async () => {
  assert.equal(levels(await vcenters({})), ['ok', 'ok', 'ok'])
})

test('an unchecked certificate, an old version, missing privileges and a missing cluster id are reported', async () => {
  assert.equal(levels(await vcenters({ trust: 'nothing' })), ['ok', 'ok', 'warning', 'ok'])
  assert.match((await vcenters({ trust: 'nothing' }))[2]!.fix!, 'AA:BB')
  for (const version of ['6.5.0', '6.7.2', '5.9.9'])
    assert.is((await vcenters({ version }))[2]!.level, 'problem', version)
  for (const version of ['6.7.3', '7.0', '8.0.3', '10.0.0'])
    assert.is((await vcenters({ version }))[2]!.level, 'ok', version)
  const lacking = (await vcenters({ missingPrivileges: ['A.b', 'C.d'] })).at(-1)!
  assert.equal([lacking.level, lacking.text], ['problem', 'the account lacks A.b, C.d'])
  assert.is((await vcenters({}, ''))[0]!.level, 'problem')
})

test('a vCenter that refuses is a problem of its own', async () => {
  const found = await vcenters(new RetryableError('VCenterLoginFailed', 'user or password'))
  assert.equal([found[1]!.subject, found[1]!.reason], ['vc', 'VCenterLoginFailed'])
  assert.not.match(JSON.stringify(found), 'hidden')
})

test('every port is tried, and one that fails hides no other', async () => {
  const connect = async (host: string, port: number) => {
    if (host === 'esx2') throw new Error('connect ECONNREFUSED')
    assert.is(port, host === 'vc' ? 443 : 902)
  }
  const vcenterPorts = async () => [{ host: 'vc', port: 443, what: 'vCenter' }]
  const found = await checkPorts({ vcenterPorts, esxiHosts: async () => ['esx1', 'esx2', 'esx3'], connect })
  assert.equal(levels(found), ['ok', 'ok', 'problem', 'ok'])
  assert.is(found[2]!.subject, 'esx2:902')
  const unknown = await checkPorts({ vcenterPorts, esxiHosts: () => Promise.reject(trouble), connect })
  assert.equal(levels(unknown), ['problem', 'ok'])
  assert.equal(levels(await checkPorts({ vcenterPorts, esxiHosts: async () => [], connect })), ['ok', 'note'])
})

test("the VDDK's version is read from its file's name", async () => {
  const deps = {
    dir: '/vddk',
    find: async () => '/vddk/lib64/libvixDiskLib.so.8',
    realPath: async () => '/vddk/lib64/libvixDiskLib.so.8.0.3',
  }
  assert.match((await checkVddk(deps))[0]!.text, 'version 8.0.3')
  assert.equal(levels(await checkVddk({ ...deps, dir: undefined })), ['note'])
  const lost = () => Promise.reject(new TerminalError('VddkNotFound', 'not there'))
  assert.is((await checkVddk({ ...deps, find: lost }))[0]!.reason, 'VddkNotFound')
})

const aVolume = (name: string, handle: string, driver = 'csi.vsphere.vmware.com', mode = 'ReadWriteOnce') =>
  anObject('PersistentVolume', name, {
    spec: {
      csi: { driver, volumeHandle: handle },
      accessModes: [mode],
      claimRef: { namespace: 'shop', name: `claim-${name}` },
    },
  })

test('each vSphere volume is listed with what its change tracking means', async () => {
  const volumes = [
    aVolume('on', 'id-on'),
    aVolume('off', 'id-off'),
    aVolume('gone', 'id-gone'),
    aVolume('share', 'file:1'),
    aVolume('other', 'x', 'ebs.csi.aws.com'),
  ]
  const describe = async (fcdId: string) =>
    fcdId === 'id-gone' ? undefined : ({ changedBlockTracking: fcdId === 'id-on' } as VolumeFacts)
  const found = await checkChangeTracking({ listVolumes: async () => volumes, describe })
  assert.equal(
    found.map(({ level, subject }) => `${level} ${subject}`),
    ['ok shop/claim-on', 'note shop/claim-off', 'problem shop/claim-gone', 'note shop/claim-share'],
  )
  assert.match(found[2]!.text, 'no vCenter of the Secret knows its disk id-gone')
  assert.equal(levels(await checkChangeTracking({ listVolumes: async () => [], describe })), ['note'])
})

const csiWorld = (args: unknown, classes: LooseObject[] | Error) => {
  const containers = [{ command: ['/velero'], args }]
  const server = anObject('Deployment', 'velero', { spec: { template: { spec: { containers } } } })
  const list = async () => {
    if (classes instanceof Error) throw classes
    return classes
  }
  return checkCsiFeature({ cluster: { read: async () => server, list } as unknown as Cluster, namespace: 'velero' })
}
const snapshotClass = (name: string, driver = 'csi.vsphere.vmware.com', metadata: object = {}) => {
  const object = anObject('VolumeSnapshotClass', name, { driver })
  return { ...object, metadata: { ...object.metadata, ...metadata } }
}
const CSI_ON = ['server', '--features=EnableAPIGroupVersions,EnableCSI']
const CHOSEN = { labels: { 'velero.io/csi-volumesnapshot-class': 'true' } }
const STANDARD = { annotations: { 'snapshot.storage.kubernetes.io/is-default-class': 'true' } }

test("the effect of Velero's CSI feature on each claim is reported: nothing, a second snapshot, or a failure", async () => {
  const others = [snapshotClass('ebs', 'ebs.csi.aws.com', CHOSEN)]
  const [one, two] = [snapshotClass('fast'), snapshotClass('slow')]
  const missing = new RetryableError('KubernetesKindMissing', '404', { origin: 'api' })
  const cases: [args: unknown, classes: LooseObject[] | Error, level: string, subject: string][] = [
    [['server'], [one], 'ok', ''],
    [undefined, [one], 'ok', ''],
    [['server', '--features', 'EnableAPIGroupVersions'], [one], 'ok', ''],
    [CSI_ON, [one, ...others], 'warning', 'VolumeSnapshotClass fast'],
    [['server', '--features', 'EnableCSI'], [one], 'warning', 'VolumeSnapshotClass fast'],
    [CSI_ON, [one, snapshotClass('slow', undefined, CHOSEN)], 'warning', 'VolumeSnapshotClass slow'],
    [CSI_ON, [one, snapshotClass('slow', undefined, STANDARD)], 'warning', 'VolumeSnapshotClass slow'],
    [CSI_ON, others, 'problem', ''],
    [CSI_ON, [one, two], 'problem', ''],
    [CSI_ON, missing, 'problem', ''],
  ]
  for (const [args, classes, level, subject] of cases) {
    const [found, ...more] = await csiWorld(args, classes)
    assert.equal([found?.level, found?.subject, more], [level, subject, []], JSON.stringify([args, classes]))
    if (level !== 'ok') assert.match(found?.fix ?? '', 'custom')
  }
  assert.equal(levels(await csiWorld(CSI_ON, trouble)), ['problem'])
})

test('a finding is one line, and only a problem fails the command', () => {
  const text = 'first\n  second'
  assert.is(lineOf(problem('store', 'x', text, 'do this')), 'problem  store x: first second. Fix: do this')
  assert.is(lineOf(ok('vddk', '', 'fine')), 'ok       vddk: fine')
  assert.match(lineOf(problemOf('s', 'x', trouble)), /\[KubernetesUnavailable\]$/)
  assert.is(exitCodeOf([ok('a', '', ''), warning('a', '', '', '')]), 0)
  assert.is(exitCodeOf([problem('a', '', '', ''), ok('a', '', '')]), 1)
})

test.run()
