// The adapter over a real API server keeps the contract of the port. The other tests show what only a real server can show.

import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { stringify } from 'yaml'
import { createCluster } from '#shared/adapters/kube/cluster.ts'
import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'
import { type Api, refOf } from '#test/environment/kubernetes/api.ts'
import { Authority } from '#test/environment/kubernetes/certificates.ts'
import { ControlPlane } from '#test/environment/kubernetes/control-plane.ts'
import { writeKubeconfig } from '#test/environment/kubernetes/kubeconfig.ts'
import { loadManifests } from '#test/environment/kubernetes/manifests.ts'
import { Ports } from '#test/environment/process/ports.ts'
import { findLeash, findTools, PROJECT } from '#test/environment/process/tools.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { eventsAreTaken, messagesAreTaken } from './cluster-messages.ts'
import { rejects } from './cluster-rejects.ts'
import { anObject, anUpload, aSnapshot, clusterSuite } from './cluster-suite.ts'

let plane: ControlPlane
let folder: string
const ports = new Ports()

async function startPlane(): Promise<void> {
  folder = await mkdtemp(path.join(tmpdir(), 'dormouse-cluster-'))
  const tools = await findTools(['etcd', 'kube-apiserver', 'kube-controller-manager', 'kubectl'], console.log)
  const options = { folder, logFolder: folder, leash: await findLeash(), tools, ports, authority: new Authority() }
  plane = await ControlPlane.start(options)
  const crds = await loadManifests(path.join(PROJECT, 'config/crd'), tools.get('kubectl') as string)
  for (const crd of crds) await plane.api.apply(crd)
  for (const crd of crds) await established(plane.api, crd.metadata.name)
  for (const name of ['contract-a', 'contract-b', 'contract-c']) await plane.api.create(aNamespace(name))
}

async function established(api: Api, name: string): Promise<void> {
  const ref = { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', name }
  for (;;) {
    const conditions: { type: string; status: string }[] = (await api.get(ref))?.['status']?.conditions ?? []
    if (conditions.some(({ type, status }) => type === 'Established' && status === 'True')) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

function aNamespace(name: string): LooseObject {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name } }
}

async function stopPlane(): Promise<void> {
  await plane.stop()
  ports.release()
  await rm(folder, { recursive: true, force: true })
}

clusterSuite('cluster over kube-apiserver', async () => {
  await startPlane()
  const cluster = createCluster({ kubeconfig: plane.kubeconfig })
  return { cluster, namespaces: ['contract-a', 'contract-b'], stop: async () => undefined }
})

const test = suite('kube-apiserver')

test.after(stopPlane)

test('more objects than fit into one page are listed once each', async () => {
  const cluster = createCluster({ kubeconfig: plane.kubeconfig })
  const count = 501
  for (let batch = 0; batch < count; batch += 50) {
    const names = Array.from({ length: Math.min(50, count - batch) }, (_, index) => `page-${batch + index}`)
    await Promise.all(
      names.map((name) => cluster.create('ConfigMap', anObject('ConfigMap', 'contract-c', { metadata: { name } }))),
    )
  }
  const listed = await cluster.list('ConfigMap', { namespace: 'contract-c', labelSelector: '!absent' })
  const names = new Set(listed.map(({ metadata }) => metadata.name).filter((name) => name.startsWith('page-')))
  assert.is(names.size, count)
})

test('a refused field is terminal and the message names it', async () => {
  const cluster = createCluster({ kubeconfig: plane.kubeconfig })
  const seen = await cluster.create('Snapshot', aSnapshot('contract-a'))
  const wrong = cluster.patchStatus('Snapshot', seen, { phase: 'Sleeping' as never })
  const error = await rejects(wrong, TerminalError, 'InvalidObject')
  assert.match(error.message, `patch status of Snapshot contract-a/${seen.metadata.name}`)
  assert.match(error.message, 'status.phase')
})

test('a message of any length and of any characters is taken, in each kind, and in each place of its status', async () => {
  await messagesAreTaken(createCluster({ kubeconfig: plane.kubeconfig }), 'contract-a')
})

test('an Event with a message of any length and of any characters is written', async () => {
  await eventsAreTaken(createCluster({ kubeconfig: plane.kubeconfig }), 'contract-a')
})

test('a field that the server drops gives a warning', async () => {
  const warnings: string[] = []
  const onWarning = (warning: string) => warnings.push(warning)
  const cluster = createCluster({ kubeconfig: plane.kubeconfig, onWarning })
  const upload = anUpload('contract-a', { spec: { snapshotID: 'ivd:a:b', colour: 'grey' } })
  const created = await cluster.create('Upload', upload)
  assert.is((created as LooseObject)['spec'].colour, undefined)
  assert.equal(warnings, [`create Upload ${created.metadata.name}: unknown field "spec.colour"`])
})

test('a missing namespace is distinguished from a kind that is not served', async () => {
  const cluster = createCluster({ kubeconfig: plane.kubeconfig })
  await rejects(cluster.create('Upload', anUpload('nowhere')), TerminalError, 'NamespaceNotFound')
  const crd = { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition' }
  await plane.api.delete({ ...crd, name: 'downloads.datamover.cnsdp.vmware.com' })
  const answers = async () =>
    await cluster.read('Download', 'contract-a', 'x').then(
      () => 'served',
      () => 'not served',
    )
  while ((await answers()) === 'served') await new Promise((resolve) => setTimeout(resolve, 50))
  await rejects(cluster.read('Download', 'contract-a', 'x'), RetryableError, 'KubernetesKindMissing')
})

test('missing rights are terminal and the message names verb, kind and object', async () => {
  const token = await serviceAccountToken('weak')
  const kubeconfig = path.join(folder, 'weak.kubeconfig')
  await writeKubeconfig(kubeconfig, { server: plane.server, caPem: plane.caPem, token, user: 'weak' })
  const cluster = createCluster({ kubeconfig })
  const error = await rejects(cluster.read('Secret', 'contract-a', 'key'), TerminalError, 'Forbidden')
  assert.match(error.message, 'get Secret contract-a/key')
})

/** Tries to create a claim of 16Mi in a namespace with one rule. */
async function refusalBy(namespace: string, rule: { kind: string; spec: object }, status?: object): Promise<unknown> {
  await plane.api.create(aNamespace(namespace))
  const made = await plane.api.create({ apiVersion: 'v1', metadata: { name: 'small', namespace }, ...rule })
  if (status !== undefined) await plane.api.patch({ ...refOf(made), namespace }, { status }, 'status')
  const cluster = createCluster({ kubeconfig: plane.kubeconfig })
  const spec = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '16Mi' } } }
  const claim = { apiVersion: 'v1' as const, kind: 'PersistentVolumeClaim' as const, spec }
  // Admission learns of a new rule by its watch.
  for (let tries = 0; tries < 200; tries++) {
    const named = { ...claim, metadata: { name: `data-${tries}`, namespace } }
    const created = await cluster.create('PersistentVolumeClaim', named).catch((error: unknown) => error)
    if (created instanceof Error) return created
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return undefined
}

test("a namespace's own rules are distinguished from missing rights", async () => {
  const limits = [{ type: 'PersistentVolumeClaim', max: { storage: '8Mi' } }]
  const limited = await refusalBy('contract-limited', { kind: 'LimitRange', spec: { limits } })
  await rejects(Promise.reject(limited), TerminalError, 'AdmissionDenied')
  assert.match((limited as Error).message, 'maximum storage usage per PersistentVolumeClaim is 8Mi')
  // No controller counts here: test/system/namespace-rules.test.ts shows that part.
  const hard = { persistentvolumeclaims: '1' }
  const quota = { kind: 'ResourceQuota', spec: { hard } }
  const full = await refusalBy('contract-quota', quota, { hard, used: hard })
  await rejects(Promise.reject(full), TerminalError, 'QuotaExceeded')
  assert.match((full as Error).message, 'exceeded quota: small, requested: persistentvolumeclaims=1')
  const uncounted = await refusalBy('contract-uncounted', quota, { hard })
  await rejects(Promise.reject(uncounted), TerminalError, 'QuotaExceeded')
  assert.match((uncounted as Error).message, 'status unknown for quota: small')
})

test('any other kubeconfig is left to the Kubernetes client: YAML, files, programs, other names', async () => {
  const plain = JSON.parse(await readFile(plane.kubeconfig, 'utf8'))
  const [{ user }] = plain.users
  const { server } = plain.clusters[0].cluster
  await writeFile(path.join(folder, 'ca.pem'), plane.caPem)
  await writeFile(path.join(folder, 'token.txt'), user.token)
  const credential = {
    apiVersion: 'client.authentication.k8s.io/v1',
    kind: 'ExecCredential',
    status: { token: user.token },
  }
  const exec = {
    apiVersion: credential.apiVersion,
    command: 'echo',
    args: [JSON.stringify(credential)],
    interactiveMode: 'Never',
  }
  const byFile = { server, 'certificate-authority': 'ca.pem', 'tls-server-name': 'localhost' }
  const ways: [cluster: object, user: object][] = [
    [plain.clusters[0].cluster, user],
    [byFile, { 'auth-provider': { name: 'tokenFile', config: { tokenFile: path.join(folder, 'token.txt') } } }],
    [{ server, 'insecure-skip-tls-verify': true }, { exec }],
  ]
  for (const [cluster, as] of ways) {
    const kubeconfig = await otherKubeconfig(cluster, as)
    assert.is(await createCluster({ kubeconfig }).read('Upload', 'contract-a', 'absent'), undefined)
  }
  const weak = createCluster({ kubeconfig: await otherKubeconfig(byFile, { ...user, as: 'nobody' }) })
  const error = await rejects(weak.read('Upload', 'contract-a', 'absent'), TerminalError, 'Forbidden')
  assert.match(error.message, 'User "nobody"')
  const untrusting = createCluster({ kubeconfig: await otherKubeconfig({ server }, user) })
  await rejects(untrusting.read('Upload', 'contract-a', 'absent'), RetryableError, 'KubernetesUnavailable')
})

test("a pod's service account is used where no kubeconfig is named, and a new token is taken up", async () => {
  const serviceAccountDir = path.join(folder, 'service-account')
  await mkdir(serviceAccountDir)
  await writeFile(path.join(serviceAccountDir, 'ca.crt'), plane.caPem)
  await writeFile(path.join(serviceAccountDir, 'token'), 'not-a-token')
  const { hostname, port } = new URL(plane.server)
  const saved = { ...process.env }
  delete process.env['KUBECONFIG']
  Object.assign(process.env, { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port })
  try {
    const cluster = createCluster({ serviceAccountDir })
    await rejects(cluster.read('Upload', 'contract-a', 'absent'), RetryableError, 'KubernetesUnavailable') // 401
    await writeFile(path.join(serviceAccountDir, 'token'), `${await serviceAccountToken('pod', 'cluster-admin')}\n`)
    assert.is(await cluster.read('Upload', 'contract-a', 'absent'), undefined)
  } finally {
    process.env = saved
  }
})

test('an object in a namespace that is being deleted is refused with its own reason', async () => {
  const cluster = createCluster({ kubeconfig: plane.kubeconfig })
  const held = anUpload('contract-b', { metadata: { name: 'holds-namespace', finalizers: ['dormouse.dev/object'] } })
  await cluster.create('Upload', held)
  await plane.api.delete({ apiVersion: 'v1', kind: 'Namespace', name: 'contract-b' })
  await rejects(cluster.create('Upload', anUpload('contract-b')), TerminalError, 'NamespaceTerminating')
})

test('a server that is away asks for a retry, and is used again once it is back', async () => {
  const cluster = createCluster({ kubeconfig: plane.kubeconfig })
  await cluster.read('Upload', 'contract-a', 'absent')
  const back = plane.restartApiserver(500)
  let failed = false
  while (!failed) {
    failed = await cluster.read('Upload', 'contract-a', 'absent').then(
      () => false,
      (error: unknown) => error instanceof RetryableError && error.reason === 'KubernetesUnavailable',
    )
  }
  await back
  assert.is(await cluster.read('Upload', 'contract-a', 'absent'), undefined)
})

async function otherKubeconfig(cluster: object, user: object): Promise<string> {
  const file = path.join(folder, 'other.kubeconfig')
  const context = { cluster: 'c', user: 'u' }
  const named = { clusters: [{ name: 'c', cluster }], users: [{ name: 'u', user }], contexts: [{ name: 'x', context }] }
  await writeFile(file, stringify({ apiVersion: 'v1', kind: 'Config', 'current-context': 'x', ...named }))
  return file
}

async function serviceAccountToken(name: string, role?: string): Promise<string> {
  const account = { apiVersion: 'v1', kind: 'ServiceAccount', namespace: 'contract-a', name }
  await plane.api.create({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace: 'contract-a' } })
  if (role !== undefined) {
    await plane.api.create({
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name },
      subjects: [{ kind: 'ServiceAccount', name, namespace: 'contract-a' }],
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
    })
  }
  const request = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', metadata: { name }, spec: {} }
  return (await plane.api.createSubresource(account, 'token', request))['status'].token
}

test.run()
