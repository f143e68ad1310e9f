// The CRDs keep the Velero Plugin for vSphere's interface, give every field a bound, and describe every field.

import { spawnSync } from 'node:child_process'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KINDS } from '#shared/api/kinds.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { objectsIn, ofKind } from './manifests/load.ts'
import { PEER } from './manifests/peer.ts'

type Schema = {
  type?: string
  format?: string
  description?: string
  enum?: string[]
  maxLength?: number
  maxItems?: number
  maxProperties?: number
  minimum?: number
  nullable?: boolean
  required?: string[]
  properties?: Record<string, Schema>
  items?: Schema
  additionalProperties?: Schema
  [rest: string]: unknown
}

const CRDS = new Map(
  ofKind(objectsIn('config/crd'), 'CustomResourceDefinition').map((crd) => [crd['spec'].names.kind as string, crd]),
)
const api = suite('config/crd')

function crdOf(kind: string): LooseObject {
  return CRDS.get(kind)!
}

function schemaOf(kind: string): Schema {
  return crdOf(kind)['spec'].versions[0].schema.openAPIV3Schema
}

/** Every schema below this one, with its path. */
function* walk(schema: Schema, path: string): Generator<[path: string, schema: Schema]> {
  yield [path, schema]
  for (const [name, field] of Object.entries(schema.properties ?? {})) yield* walk(field, `${path}.${name}`)
  if (schema.items !== undefined) yield* walk(schema.items, `${path}[]`)
  if (schema.additionalProperties !== undefined) yield* walk(schema.additionalProperties, `${path}{}`)
}

const ALL = [...CRDS.keys()].flatMap((kind) => [...walk(schemaOf(kind), kind)])

function pathsWhere(bad: (schema: Schema) => boolean): string[] {
  return ALL.filter(([, schema]) => bad(schema)).map(([path]) => path)
}

api('there are the seven kinds, and no other', () => {
  assert.equal([...CRDS.keys()].sort(), Object.keys(PEER).sort())
})

for (const [kind, peer] of Object.entries(PEER)) {
  const paths = () => [...walk(schemaOf(kind), '')].map(([path]) => path.slice(1))
  const requiredPaths = () =>
    [...walk(schemaOf(kind), '')]
      .flatMap(([path, { required = [] }]) => required.map((name) => `${path}.${name}`.slice(1)))
      // In fields that only Dormouse writes, Dormouse may require anything.
      .filter((path) => !path.startsWith('status.'))

  api(`${kind} is served where shared/api/kinds.ts looks for it`, () => {
    const { group, scope, names, versions } = crdOf(kind)['spec']
    const known = KINDS[kind as keyof typeof PEER]
    const served = {
      group,
      version: versions[0].name,
      kind,
      apiVersion: `${group}/${versions[0].name}`,
      plural: names.plural,
      namespaced: scope === 'Namespaced',
      statusSubresource: versions[0].subresources?.status !== undefined,
    }
    const { step: _, source: __, ...place } = { step: undefined, source: undefined, ...known }
    assert.equal(place, served)
  })

  api(`${kind} has every field of the Velero Plugin for vSphere, and none beside them that someone else writes`, () => {
    const missing = peer.fields.filter((field) => !paths().includes(field))
    assert.equal(missing, [])
    const extra = paths().filter((path) => /^\w+(\.\w+)?$/.test(path) && !path.startsWith('status') && path !== 'spec')
    const ours = extra.filter((path) => !peer.fields.some((field) => field === path || field.startsWith(`${path}.`)))
    // A Download cannot be cancelled in the Velero Plugin for vSphere; only Dormouse's clone function writes this.
    assert.equal(
      ours.filter((path) => path !== 'spec.downloadCancel'),
      [],
    )
  })

  api(`${kind} requires what the Velero Plugin for vSphere requires, no more`, () => {
    assert.equal(requiredPaths().sort(), [...peer.required].sort())
  })

  api(`${kind} has the Velero Plugin for vSphere's phases`, () => {
    const phases = schemaOf(kind).properties?.['status']?.properties?.['phase']?.enum
    assert.equal(phases?.toSorted(), peer.phases?.toSorted())
  })
}

api('every field has a description', () => {
  assert.equal(
    pathsWhere(({ description }) => description === undefined || !/^[\s\S]{8,}\.$/.test(description)),
    [],
  )
})

api('every string, list and map has a bound', () => {
  assert.equal(
    pathsWhere(
      (s) => s.type === 'string' && s.maxLength === undefined && s.enum === undefined && s.format !== 'date-time',
    ),
    [],
  )
  assert.equal(
    pathsWhere((s) => s.type === 'array' && s.maxItems === undefined),
    [],
  )
  assert.equal(
    pathsWhere((s) => s.additionalProperties !== undefined && s.maxProperties === undefined),
    [],
  )
})

api('every number is a whole one that cannot be negative, with its width', () => {
  assert.equal(
    pathsWhere((s) => s.type === 'number'),
    [],
  )
  assert.equal(
    pathsWhere((s) => s.type === 'integer' && (s.minimum !== 0 || !/^int(32|64)$/.test(s.format ?? ''))),
    [],
  )
})

api('times below status may be null, as the Velero Plugin for vSphere writes them', () => {
  const peers = new Set(['startTimestamp', 'completionTimestamp', 'nextRetryTimestamp'])
  const bad = ALL.filter(([path, schema]) => peers.has(path.split('.').at(-1) ?? '') && schema.nullable !== true)
  assert.equal(
    bad.map(([path]) => path),
    [],
  )
})

api('unknown fields are pruned, never kept', () => {
  assert.equal(
    pathsWhere((schema) => 'x-kubernetes-preserve-unknown-fields' in schema),
    [],
  )
})

// A rule on spec would see the byte field too, and kube-apiserver 1.34 then refuses standard base64.
api('no rule looks at a byte field', () => {
  const bytes = pathsWhere((schema) => schema.format === 'byte')
  const rules = pathsWhere((schema) => 'x-kubernetes-validations' in schema)
  assert.equal(
    rules.filter((path) => bytes.some((field) => field === path || field.startsWith(`${path}.`))),
    [],
  )
})

api('kubectl get shows progress and reason', () => {
  for (const kind of ['Snapshot', 'CloneFromSnapshot', 'Upload', 'Download']) {
    const columns = crdOf(kind)['spec'].versions[0].additionalPrinterColumns as {
      name: string
      jsonPath: string
      priority?: number
    }[]
    const shown = columns.filter(({ priority }) => priority === undefined).map(({ name }) => name)
    for (const name of ['Phase', 'Percent', 'Progress', 'Reason', 'Age'])
      assert.ok(shown.includes(name), `${kind}: ${name}`)
  }
})

api('every printer column shows a field that exists', () => {
  for (const [kind, crd] of CRDS) {
    const paths = new Set([...walk(schemaOf(kind), '')].map(([path]) => path))
    for (const { jsonPath } of crd['spec'].versions[0].additionalPrinterColumns as { jsonPath: string }[]) {
      const path = jsonPath.replace(/\[\?.*?\]/, '[]').replace(/(?<=\.repopsitoryParameters)\..*/, '{}')
      assert.ok(path === '.metadata.creationTimestamp' || paths.has(path), `${kind}: ${jsonPath}`)
    }
  }
})

api('the TypeScript types follow from the YAML', () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['hack/generate.ts', '--check'], { encoding: 'utf8' })
  assert.is(status, 0, stdout + stderr)
})

api.run()
