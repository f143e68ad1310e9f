// A real API server that also serves Knative's own CRDs accepts the manifests in config/ and eventing/.

import { readFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { KINDS, type KindName } from '#shared/api/kinds.ts'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const manifests = suite('manifests on a real API server')
const SEEDS = ['clonefromsnapshot', 'download', 'snapshot', 'upload']

let environment: Environment

manifests.before(async () => {
  environment = await startEnvironment({
    knativeCrds: true,
    adapters: false,
    functions: false,
    manifests: { cluster: ['config/crd'], services: [], eventing: [] },
  })
  for (const name of ['test-ns-mctwohb', 'shop', 'shop-restored']) await environment.createNamespace(name)
})
manifests.after(async () => await environment?.stop())

async function apply(...args: string[]): Promise<string[]> {
  return (await environment.kubectl('apply', '--validate=strict', ...args)).trim().split('\n')
}

function seed(name: string): LooseObject {
  return parse(readFileSync(`test/fixtures/seed/${name}.yaml`, 'utf8')) as LooseObject
}

function resource(kind: string): string {
  const { apiVersion, plural } = KINDS[kind as KindName]
  return `${plural}.${apiVersion.split('/')[0]}`
}

/** The message of the refusal; fails when there is none. */
async function refusal(call: Promise<unknown>): Promise<string> {
  try {
    await call
  } catch (error) {
    return String(error)
  }
  throw new Error('it was accepted')
}

async function change(kind: string, patch: object, ...rest: string[]): Promise<string> {
  const object = seed(kind)
  const { namespace = '', name } = object.metadata
  const body = ['--type=merge', '-p', JSON.stringify(patch)]
  return await environment.kubectl('patch', '-n', namespace, resource(object.kind), name, ...body, ...rest)
}

for (const place of ['config', 'eventing', 'eventing/overlays/imc', 'eventing/overlays/kafka']) {
  manifests(`kubectl apply -k ${place} is accepted, every field known`, async () => {
    const lines = await apply('--dry-run=server', '-k', place)
    assert.ok(lines.length > 5)
  })
}

manifests('the samples are accepted', async () => {
  assert.is((await apply('--dry-run=server', '-f', 'config/samples')).length, 5)
})

manifests('applying twice changes nothing', async () => {
  await apply('-k', 'config')
  await apply('-k', 'eventing/overlays/imc')
  const again = [...(await apply('-k', 'config')), ...(await apply('-k', 'eventing/overlays/imc'))]
  assert.equal(
    again.filter((line) => !line.endsWith(' unchanged')),
    [],
  )
})

for (const name of SEEDS) {
  manifests(`the example ${name} of the Velero Plugin for vSphere's documents is stored as it is`, async () => {
    const example = seed(name)
    await environment.api.create(example)
    const { apiVersion, kind } = example
    const { namespace = '', name: objectName } = example.metadata
    const ref = { apiVersion, kind, namespace, name: objectName }
    // The subresource ignores a status at creation; Upload and Download have none and keep it.
    if (KINDS[kind as KindName].statusSubresource) {
      await environment.api.patch(ref, { status: example['status'] }, 'status')
    }
    const stored = (await environment.api.get(ref))!
    assert.equal([stored['spec'], stored['status']], [example['spec'], example['status']])
    assert.equal(stored.metadata.labels, example.metadata.labels)
  })
}

manifests(
  'an unknown phase is refused, and an empty one is accepted where the Velero Plugin for vSphere has it',
  async () => {
    const bad = await refusal(change('upload', { status: { phase: 'Uploading' } }))
    assert.match(bad, /status\.phase: Unsupported value: "Uploading"/)
    assert.match(await refusal(change('download', { status: { phase: 'Canceled' } })), /Unsupported value/)
    await change('snapshot', { status: { phase: '' } }, '--subresource=status')
    assert.match(
      await refusal(change('snapshot', { status: { phase: 'Done' } }, '--subresource=status')),
      /Unsupported value/,
    )
  },
)

const FROZEN: [kind: string, patch: object][] = [
  ['snapshot', { spec: { resourceHandle: { name: 'another' } } }],
  ['snapshot', { spec: { backupRepository: '' } }],
  ['clonefromsnapshot', { spec: { snapshotID: 'another' } }],
  ['clonefromsnapshot', { spec: { kind: 'Pod' } }],
  ['upload', { spec: { snapshotID: null } }],
  ['upload', { spec: { snapshotReference: 'a/b' } }],
  ['download', { spec: { protectedEntityID: 'ivd:another' } }],
]

for (const [kind, patch] of FROZEN) {
  manifests(`${kind}: what names the backup cannot be changed: ${JSON.stringify(patch)}`, async () => {
    assert.match(await refusal(change(kind, patch)), /cannot be (changed|added or removed); make a new/)
  })
}

for (const [kind, flag] of [
  ['snapshot', 'snapshotCancel'],
  ['clonefromsnapshot', 'cloneCancel'],
  ['upload', 'uploadCancel'],
]) {
  manifests(`${kind}: ${flag} can be set, and cannot be taken back`, async () => {
    await change(kind!, { spec: { [flag!]: true } })
    for (const value of kind === 'clonefromsnapshot' ? [false] : [false, null]) {
      assert.match(await refusal(change(kind!, { spec: { [flag!]: value } })), /cannot be taken back/)
    }
  })
}

manifests('kubectl get shows how far an upload is', async () => {
  const progress = { totalBytes: 10737418240, bytesDone: 1288490188, percent: 12, summary: '1.2 GiB of 10.0 GiB' }
  await change('upload', { status: { phase: 'InProgress', progress, reason: 'StoreAway' } })
  const table = await environment.kubectl('get', '-n', 'velero', resource('Upload'))
  assert.match(table, /^NAME +PHASE +PERCENT +PROGRESS +NODE +REASON +AGE\n/)
  assert.match(table, /InProgress +12 +1\.2 GiB of 10\.0 GiB +k8s-node-0797 +StoreAway /)
})

manifests('kubectl get dormouse -A shows all kinds', async () => {
  const all = await environment.kubectl('get', 'dormouse', '-A', '-o', 'name')
  assert.equal(
    [
      ...new Set(
        all
          .trim()
          .split('\n')
          .map((line) => line.split('/')[0]),
      ),
    ].length,
    SEEDS.length,
  )
})

type Schema = { properties?: Record<string, Schema>; items?: Schema }

/** Names of fields with their depth, from the indentation of `kubectl explain --recursive`. */
function fieldsOf(schema: Schema, depth = 1): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => [
    `${'  '.repeat(depth)}${name}`,
    ...fieldsOf(field, depth + 1),
    ...fieldsOf(field.items ?? {}, depth + 1),
  ])
}

manifests('kubectl explain knows every field', async () => {
  const crds = JSON.parse(await environment.kubectl('get', 'crd', '-l', 'component=velero', '-o', 'json'))
    .items as LooseObject[]
  assert.is(crds.length, 7)
  for (const { metadata, spec } of crds) {
    const shown = new Set(
      (await environment.kubectl('explain', metadata.name, '--recursive'))
        .split('\n')
        .map((line) => line.split('\t')[0]),
    )
    const { openAPIV3Schema } = spec.versions[0].schema
    assert.equal(
      fieldsOf(openAPIV3Schema).filter((field) => !shown.has(field)),
      [],
      metadata.name,
    )
  }
})

async function may(account: string, verb: string, what: string, namespace = 'velero'): Promise<boolean> {
  const as = `--as=system:serviceaccount:velero:dormouse-${account}`
  // Exit code 1 means "no".
  return await environment.kubectl('auth', 'can-i', verb, what, '-n', namespace, as).then(
    () => true,
    () => false,
  )
}

manifests(
  'a function reads its Secrets by name and no other, lists none, and does not touch other namespaces',
  async () => {
    assert.ok(await may('upload', 'get', 'secrets/dormouse-repository-key'))
    assert.not.ok(await may('upload', 'get', 'secrets/another'))
    assert.not.ok(await may('upload', 'list', 'secrets'))
    assert.not.ok(await may('snapshot', 'get', 'secrets/dormouse-repository-key'))
    assert.not.ok(await may('upload', 'get', 'leases.coordination.k8s.io', 'shop'))
    assert.ok(await may('snapshot', 'get', 'persistentvolumeclaims', 'shop'))
    assert.not.ok(await may('snapshot', 'delete', 'persistentvolumeclaims', 'shop'))
    assert.ok(await may('sources', 'watch', 'snapshots.backupdriver.cnsdp.vmware.com', 'shop'))
    assert.not.ok(await may('upload', 'watch', 'uploads.datamover.cnsdp.vmware.com'))
  },
)

manifests.run()
