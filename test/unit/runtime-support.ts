// A function under test: an HTTP server in this process, with its log lines kept.

import { createLogger } from '#shared/runtime/logger.ts'
import { listen, type Served, type ServeOptions } from '#shared/runtime/serve.ts'

export type LogLine = { [key: string]: unknown; level: string; msg: string; reason?: string }
export type FunctionUnderTest = Served & { url: string; lines: LogLine[] }

/** Answers every event with the result of `handle`; `kinds` defaults to Upload. */
export async function startFunction(options: Partial<ServeOptions> = {}): Promise<FunctionUnderTest> {
  const lines: LogLine[] = []
  const log = createLogger('test', { destination: { write: (line: string) => void lines.push(JSON.parse(line)) } })
  const handle = async () => 'nothing to do'
  const served = await listen({ name: 'test', kinds: ['Upload'], handle, port: 0, log, ...options })
  return { ...served, url: `http://127.0.0.1:${served.port}/`, lines }
}

/** Headers as an ApiServerSource sends them in binary mode. An undefined value leaves the header out. */
export function eventHeaders(changes: Record<string, string | undefined> = {}): Record<string, string> {
  const headers: Record<string, string | undefined> = {
    'content-type': 'application/json',
    'ce-specversion': '1.0',
    'ce-id': '0f5e',
    'ce-source': 'https://10.96.0.1:443',
    'ce-type': 'dev.knative.apiserver.ref.update',
    'ce-subject': '/apis/datamover.cnsdp.vmware.com/v1alpha1/namespaces/velero/uploads/upload-1',
    'ce-apiversion': 'datamover.cnsdp.vmware.com/v1alpha1',
    'ce-kind': 'Upload',
    'ce-name': 'upload-1',
    'ce-namespace': 'velero',
    ...changes,
  }
  return Object.fromEntries(
    Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== undefined),
  )
}

type Answered = { status: number; retryAfter: string | null; text: string; connection: string | null }

export async function post(url: string, headers: Record<string, string>, body = '{}'): Promise<Answered> {
  const response = await fetch(url, { method: 'POST', headers, body })
  const text = await response.text()
  const { headers: got, status } = response
  return { status, retryAfter: got.get('retry-after'), text, connection: got.get('connection') }
}
