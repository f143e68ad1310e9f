// The command `dormouse` as a process, against a real API server, a real S3 server over TLS, and the vCenter stand-in.

import { execFile } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fenceSession } from '#shared/repository/core/fence.ts'
import { createRepository, requireRepository } from '#shared/repository/core/repository.ts'
import { unreachableObjects } from '#shared/repository/maintenance/prune.ts'
import { createS3Store } from '#shared/repository/stores/s3/store.ts'
import { ControlPlane } from '#test/environment/kubernetes/control-plane.ts'
import { loadManifests } from '#test/environment/kubernetes/manifests.ts'
import { Ports } from '#test/environment/process/ports.ts'
import { findLeash, findTools, PROJECT } from '#test/environment/process/tools.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import type { Finding } from '../../cli/finding.ts'
import { type Gateway, settingsFor, startGateway } from './store-s3-support.ts'
import { TestVcenter } from './vsphere-vcenter.ts'

const test = suite('the command line')
const ports = new Ports()
let folder: string
let plane: ControlPlane
let gateway: Gateway
let vcenter: TestVcenter

test.before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'dormouse-cli-'))
  const tools = await findTools(['etcd', 'kube-apiserver', 'kube-controller-manager', 'kubectl'], console.error)
  gateway = await startGateway(true)
  const { authority } = gateway
  plane = await ControlPlane.start({ folder, logFolder: folder, leash: await findLeash(), tools, ports, authority })
  vcenter = await TestVcenter.start()
})
test.after(async () => {
  await Promise.all([plane.stop(), gateway.stop(), vcenter.stop()])
  ports.release()
  await rm(folder, { recursive: true, force: true })
})

type Run = { code: number; out: string; err: string }

function dormouse(...args: string[]): Promise<Run> {
  const command = [path.join(PROJECT, 'cli/main.ts'), ...args, '--kubeconfig', plane.kubeconfig]
  return new Promise((resolve) => {
    execFile(process.execPath, command, { env: { PATH: process.env['PATH'] } }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err })
    })
  })
}

const anObject = (apiVersion: string, kind: string, metadata: object, fields: object = {}) =>
  ({ apiVersion, kind, metadata, ...fields }) as LooseObject
const aSecret = (name: string, stringData: object) =>
  anObject('v1', 'Secret', { name, namespace: 'velero' }, { stringData })

/** Creates an object of a kind that is not Dormouse's, with any content. */
function aForeignKind(group: string, kind: string): LooseObject {
  const plural = `${kind.toLowerCase()}s`
  const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } }
  const spec = {
    group,
    names: { kind, plural },
    scope: 'Namespaced',
    versions: [{ name: 'v1', served: true, storage: true, schema }],
  }
  return anObject('apiextensions.k8s.io/v1', 'CustomResourceDefinition', { name: `${plural}.${group}` }, { spec })
}

async function served(apiVersion: string, resource: string): Promise<void> {
  for (;;) {
    const answer = await plane.api.send('GET', `/apis/${apiVersion}`)
    if (answer.text.includes(`"${resource}"`)) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

async function install(): Promise<void> {
  const kubectl = (await findTools(['kubectl'], console.error)).get('kubectl')!
  const foreign = [
    aForeignKind('velero.io', 'BackupStorageLocation'),
    aForeignKind('serving.knative.dev', 'Service'),
    aForeignKind('eventing.knative.dev', 'Trigger'),
    aForeignKind('sources.knative.dev', 'PingSource'),
  ]
  for (const crd of [...foreign, ...(await loadManifests(path.join(PROJECT, 'config/crd'), kubectl))]) {
    await plane.api.apply(crd)
  }
  await Promise.all([
    served('velero.io/v1', 'backupstoragelocations'),
    served('serving.knative.dev/v1', 'services'),
    served('eventing.knative.dev/v1', 'triggers'),
    served('sources.knative.dev/v1', 'pingsources'),
    served('backupdriver.cnsdp.vmware.com/v1alpha1', 'backuprepositories'),
    served('backupdriver.cnsdp.vmware.com/v1alpha1', 'snapshots'),
    served('datamover.cnsdp.vmware.com/v1alpha1', 'downloads'),
  ])
}

/** A location with a private CA, a profile that is not the default one, a prefix and path style. */
function aLocation(name: string, bucket: string): LooseObject {
  const spec = {
    provider: 'velero.io/aws',
    objectStorage: { bucket, prefix: 'velero/', caCert: Buffer.from(gateway.s3.caPem!).toString('base64') },
    credential: { name: 'bsl', key: 'cloud' },
    config: { region: gateway.s3.region, s3Url: gateway.s3.url, s3ForcePathStyle: 'true', profile: 'backups' },
  }
  return anObject('velero.io/v1', 'BackupStorageLocation', { name, namespace: 'velero' }, { spec })
}

const credentials = () =>
  `[default]\naws_access_key_id=nobody\naws_secret_access_key=wrong\n[backups]\n${gateway.s3.credentialsText().split('\n').slice(1).join('\n')}`

async function fill(): Promise<void> {
  const { api } = plane
  await api.apply(anObject('v1', 'Namespace', { name: 'velero' }))
  await api.apply(aSecret('bsl', { cloud: credentials() }))
  await api.apply(aSecret('dormouse-repository-key', { password: 'new password\n' }))
  const section = `[Global]\ncluster-id = "c1"\n[VirtualCenter "127.0.0.1"]\nuser = ${quoted(vcenter.ready.user)}\npassword = ${quoted(vcenter.password)}\nport = "${vcenter.port}"\nthumbprint-sha256 = "${vcenter.ready.thumbprintSha256}"\n`
  await api.apply(aSecret('velero-vsphere-config-secret', { 'csi-vsphere.conf': section }))
  await api.apply(aLocation('default', gateway.s3.bucket))
  await api.apply(aLocation('lost', 'no-such-bucket'))
  for (const cbt of [true, false]) {
    const handle = await vcenter.createDisk(1 << 20, cbt)
    const spec = {
      capacity: { storage: '1Mi' },
      accessModes: ['ReadWriteOnce'],
      csi: { driver: 'csi.vsphere.vmware.com', volumeHandle: handle },
    }
    await api.apply(anObject('v1', 'PersistentVolume', { name: cbt ? 'pv-on' : 'pv-off' }, { spec }))
  }
}

const quoted = (text: string) => `"${text.replace(/["\\]/g, '\\$&')}"`

test('a bare cluster fails, and every line says what to do', async () => {
  const { code, out } = await dormouse('doctor')
  assert.is(code, 1)
  const lines = out.trim().split('\n')
  assert.match(out, /^ok {7}cluster: Kubernetes v1\.34/)
  assert.match(
    out,
    'problem  crds datamover.cnsdp.vmware.com/v1alpha1: not served: uploads, downloads. Fix: kubectl apply',
  )
  assert.match(out, 'problem  nodes')
  assert.match(out, 'note     vddk: not looked for')
  assert.ok(
    lines.every((line) => /^(ok|note|warning|problem) +\w/.test(line)),
    out,
  )
})

test('the whole set-up is checked: keys, stores with private CA and profile, vCenter, hosts, volumes', async () => {
  await install()
  await fill()
  const { code, out, err } = await dormouse('doctor', '--json', '--vddk-dir', folder)
  assert.is(err, '')
  assert.is(code, 1)
  const findings: Finding[] = JSON.parse(out)
  const of = (check: string, subject = '') =>
    findings.filter((finding) => finding.check === check && finding.subject === subject)
  const levels = (check: string, subject?: string) => of(check, subject).map(({ level }) => level)
  assert.equal(levels('crds', 'datamover.cnsdp.vmware.com/v1alpha1'), ['ok'])
  assert.equal(levels('knative', 'serving.knative.dev/v1'), ['ok'])
  assert.equal(levels('flavor'), ['ok'])
  assert.equal(levels('nodes'), ['problem'])
  assert.equal(levels('key', 'dormouse-repository-key'), ['warning'])
  assert.equal(levels('store', 'location default'), ['ok', 'ok'])
  assert.equal(
    of('store', 'location lost').map(({ reason }) => reason),
    ['BucketMissing'],
  )
  assert.equal(levels('vcenter', '127.0.0.1'), ['ok', 'ok'])
  assert.equal(levels('ports', `127.0.0.1:${vcenter.port}`), ['ok'])
  const esxi = findings.filter(({ check, subject }) => check === 'ports' && subject.endsWith(':902'))
  assert.ok(esxi.length > 0 && esxi.every(({ level }) => level === 'problem'), JSON.stringify(esxi))
  assert.equal(levels('volumes', 'pv-on'), ['ok'])
  assert.equal(levels('volumes', 'pv-off'), ['note'])
  assert.is(of('vddk', folder)[0]!.reason, 'VddkNotFound')
  assert.not.match(out, new RegExp(`${gateway.s3.secretAccessKey}|new password|S3cret`))
  assert.is((await vcenter.state()).sessions, 0)
  assert.equal(await gateway.s3.objects('velero/'), [])
})

test('with the bucket and the recovery key a new cluster opens the repository', async () => {
  const { publicKey, privateKey } = generateKeyPairSync('x25519', {
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })
  const store = createS3Store(settingsFor(gateway.s3, { prefix: 'velero' }))
  const scrypt = { N: 2, r: 1, p: 1 }
  await createRepository(store, 'password of the lost cluster', { kind: 'publicKey', pem: publicKey }, { scrypt })
  const [keyFile, passwordFile, credentialsFile] = ['key.pem', 'password', 'credentials'].map((name) =>
    path.join(folder, name),
  ) as [string, string, string]
  await writeFile(keyFile, privateKey)
  await writeFile(passwordFile, 'third password\n')
  await writeFile(credentialsFile, credentials())
  const first = await dormouse('repository', 'open', '--recovery-key-file', keyFile)
  assert.is(first.code, 0, first.err)
  assert.match(first.out, 'the password opens it now (keys/')
  await requireRepository(store, 'new password')
  const again = await dormouse('repository', 'open', '--recovery-key-file', keyFile, '--json')
  assert.is(JSON.parse(again.out).slot, undefined)
  const parameters = [
    'bucket=dormouse',
    'prefix=velero',
    `s3Url=${gateway.s3.url}`,
    's3ForcePathStyle=true',
    'profile=backups',
    `caCert=${gateway.s3.caPem}`,
  ].flatMap((parameter) => ['--parameter', parameter])
  const files = ['--credentials-file', credentialsFile, '--password-file', passwordFile]
  const bare = await dormouse('repository', 'open', ...parameters, ...files, '--recovery-key-file', keyFile)
  assert.is(bare.code, 0, bare.err)
  await requireRepository(store, 'third password')
})

test('the password is changed: a slot for the new one, then the Secret; the other way round nothing opens until there is a slot', async () => {
  const { api } = plane
  const inSecret = (password: string) => api.apply(aSecret('dormouse-repository-key', { password }))
  const file = async (name: string, text: string) => {
    await writeFile(path.join(folder, name), text)
    return path.join(folder, name)
  }
  /** Opens the repository with what the Secret holds, as the functions do. */
  const work = () => dormouse('prune', '--dry-run')
  const letIn = (...args: string[]) => dormouse('repository', 'open', ...args)
  await inSecret('new password\n')
  const added = await letIn('--password-file', await file('fourth', 'fourth password\n'))
  assert.match(added.out, 'the password opens it now (keys/', added.err)
  assert.is((await work()).code, 0, 'the old one is in the Secret, and valid')
  await inSecret('fourth password\n')
  assert.is((await work()).code, 0)
  await inSecret('fifth password\n')
  const locked = await work()
  assert.is(locked.code, 1)
  assert.match(locked.err, '[RepositoryKeyWrong]')
  const late = await letIn('--current-password-file', path.join(folder, 'fourth'))
  assert.match(late.out, 'the password opens it now (keys/', late.err)
  assert.is((await work()).code, 0)
})

test('a command that cannot be carried out ends with code 1 and a reason', async () => {
  const none = await dormouse('repository', 'open')
  assert.is(none.code, 1)
  assert.match(none.err, '[UsageInvalid]')
  const unknown = await dormouse(
    'repository',
    'open',
    '--location',
    'x',
    '--recovery-key-file',
    path.join(folder, 'key.pem'),
  )
  assert.match(unknown.err, 'there is no BackupStorageLocation x; there are default, lost [RepositoryNotFound]')
  const wrong = path.join(folder, 'wrong')
  await writeFile(wrong, 'not the passphrase')
  const refused = await dormouse('repository', 'open', '--recovery-passphrase-file', wrong)
  assert.is(refused.code, 1)
  assert.match(refused.err, '[RepositoryKeyWrong]')
})

test('prune says what it would remove, removes it, and shows by its exit code when work is left', async () => {
  const { s3 } = gateway
  const settings = settingsFor(s3)
  const store = createS3Store(settings)
  const { repository } = await createRepository(store, 'the password', undefined)
  const file = async (name: string, text: string) => {
    await writeFile(path.join(folder, name), text)
    return path.join(folder, name)
  }
  const credentials = `[default]\naws_access_key_id=${s3.accessKeyId}\naws_secret_access_key=${s3.secretAccessKey}\n`
  const prune = async (...args: string[]) => {
    const { bucket, prefix, region } = settings
    const caCert = Buffer.from(s3.caPem!).toString('base64')
    const parameters = { bucket, prefix, region, s3Url: s3.url, s3ForcePathStyle: 'true', caCert }
    return await dormouse(
      'prune',
      ...['--parameter', ...Object.entries(parameters).map(([key, value]) => `${key}=${value}`)],
      ...['--credentials-file', await file('prune-credentials', credentials)],
      ...['--password-file', await file('prune-password', 'the password\n'), ...args],
    )
  }
  const [dead, alive] = ['1', '2'].map(
    (attempt) => `${'a'.repeat(16)}-${'b'.repeat(16)}-018bcfe56800-0000000${attempt}`,
  )
  await fenceSession(repository, dead!, 'abandoned', 0)
  await store.putIfAbsent(`packs/${dead}/00000000000000ff`, Buffer.alloc(1000))
  const dry = await prune('--dry-run')
  assert.is(dry.code, 0, dry.err)
  assert.match(dry.out, `would remove packs/${dead}/00000000000000ff\n`)
  assert.match(dry.out, 'packs: 1 objects, 1000 bytes')
  await store.putIfAbsent(`session/${alive}`, Buffer.from('marker'))
  const waiting = await prune()
  assert.is(waiting.code, 2, waiting.err)
  assert.match(waiting.out, `waits for session ${alive}`)
  const through = await prune('--exclusive', '--json')
  assert.is(through.code, 0, through.err)
  assert.equal(JSON.parse(through.out).fenced, [alive])
  assert.equal(await unreachableObjects(repository), [])
  const wrong = await prune('--session-idle-hours', 'soon')
  assert.is(wrong.code, 1)
  assert.match(wrong.err, '[UsageInvalid]')
})

test.run()
