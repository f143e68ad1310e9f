// Writes shared/api/generated from the CRDs in config/crd: the YAML is the source, the TypeScript follows.
// Usage: node hack/generate.ts [--check]; with --check nothing is written, and a difference is an error.

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { compile, type JSONSchema } from 'json-schema-to-typescript'
import { parse } from 'yaml'

const SOURCE = 'config/crd'
const TARGET = 'shared/api/generated'

type Schema = {
  type?: string
  enum?: string[]
  nullable?: boolean
  properties?: Record<string, Schema>
  required?: string[]
  [rest: string]: unknown
}
type Crd = {
  spec: {
    group: string
    names: { kind: string }
    versions: [{ name: string; schema: { openAPIV3Schema: Schema } }]
  }
}

/** Converts the schema for json-schema-to-typescript: null as a type, and no additional fields. */
function plain(schema: Schema): JSONSchema {
  const { nullable, properties, items, additionalProperties, type, ...rest } = schema
  return {
    ...rest,
    ...(type === undefined ? {} : { type: nullable === true ? [type, 'null'] : type }),
    ...(properties === undefined ? {} : { properties: mapValues(properties, plain) }),
    ...(items === undefined ? {} : { items: plain(items as Schema) }),
    additionalProperties: additionalProperties === undefined ? false : plain(additionalProperties as Schema),
  } as JSONSchema
}

function mapValues<T, U>(from: Record<string, T>, change: (value: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(from).map(([key, value]) => [key, change(value)]))
}

/** The fields of every object, and the condition list as the one type that all kinds share. */
function rootOf(crd: Crd): JSONSchema {
  const { group, names, versions } = crd.spec
  const root = plain(versions[0].schema.openAPIV3Schema) as JSONSchema & { properties: Record<string, JSONSchema> }
  const status = root.properties['status'] as JSONSchema & { properties: Record<string, JSONSchema> }
  const conditions = status.properties['conditions'] as JSONSchema
  status.properties['conditions'] = { description: conditions.description ?? '', tsType: 'Condition[]' }
  return {
    ...root,
    required: ['apiVersion', 'kind', 'metadata', ...((root.required as string[]) ?? [])],
    properties: {
      apiVersion: { const: `${group}/${versions[0].name}` },
      kind: { const: names.kind },
      metadata: { tsType: 'ObjectMeta' },
      ...root.properties,
    },
  }
}

/** `SNAPSHOT_PHASES` and `SnapshotPhase`, for tables that must name every phase. '' is not a phase: the status has not been written yet. */
function phasesOf(crd: Crd): string {
  const listed = crd.spec.versions[0].schema.openAPIV3Schema.properties?.['status']?.properties?.['phase']?.enum
  if (listed === undefined) return ''
  const phases = listed.filter((phase) => phase !== '')
  const { kind } = crd.spec.names
  const constant = `${kind.replace(/(?<=[a-z])(?=[A-Z])/g, '_').toUpperCase()}_PHASES`
  const list = phases.map((phase) => `  '${phase}',`).join('\n')
  return `
/** Every phase that the API server accepts${listed.includes('') ? ", beside '' where nobody has written the status yet" : ''}. */
export const ${constant} = [
${list}
] as const

export type ${kind}Phase = (typeof ${constant})[number]
`
}

async function typesOf(file: string): Promise<string> {
  const crd = parse(readFileSync(join(SOURCE, file), 'utf8')) as Crd
  const { kind } = crd.spec.names
  const types = await compile(rootOf(crd), kind, {
    bannerComment: `// Generated from ${SOURCE}/${file} by \`make generate\`. Do not edit.

import type { Condition, ObjectMeta } from '../kinds.ts'`,
    ignoreMinAndMaxItems: true,
    additionalProperties: false,
    style: { semi: false, singleQuote: true, bracketSpacing: true, printWidth: 120 },
  })
  // Unlike an interface, a type alias can be assigned to a parameter of type KubeObject.
  return types.replace(`export interface ${kind} {`, `export type ${kind} = {`) + phasesOf(crd)
}

/** Maps file names in shared/api/generated to their text. */
async function generate(): Promise<Map<string, string>> {
  const files = readdirSync(SOURCE).filter((name) => name.endsWith('.yaml') && name !== 'kustomization.yaml')
  const made = await Promise.all(
    files.map(async (file) => [file.replace('.yaml', '.ts'), await typesOf(file)] as const),
  )
  return new Map(made)
}

function differences(wanted: Map<string, string>): string[] {
  const present = existsSync(TARGET) ? readdirSync(TARGET) : []
  const names = new Set([...wanted.keys(), ...present])
  return [...names].filter((name) => {
    const path = join(TARGET, name)
    return (existsSync(path) ? readFileSync(path, 'utf8') : undefined) !== wanted.get(name)
  })
}

const wanted = await generate()
const stale = differences(wanted)
if (process.argv.includes('--check')) {
  for (const name of stale) console.log(`${join(TARGET, name)} does not follow from ${SOURCE}; run: make generate`)
  process.exitCode = stale.length === 0 ? 0 : 1
} else {
  mkdirSync(TARGET, { recursive: true })
  for (const name of stale) {
    const text = wanted.get(name)
    if (text === undefined) rmSync(join(TARGET, name))
    else writeFileSync(join(TARGET, name), text)
  }
  console.log(stale.length === 0 ? 'nothing changed' : `changed: ${stale.join(', ')}`)
}
