// The functions' logs, for the diagnosis of a failed test.

import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'

const PROGRAMS = /^(adapter-|etcd|kube-|versitygw|vcenter|velero)/
const SHOWN_LINES = 12

/** The last lines of the functions' logs above the level info. */
export async function complaints(logFolder: string): Promise<string> {
  const names = (await readdir(logFolder)).filter((name) => name.endsWith('.log') && !PROGRAMS.test(name))
  const lines: string[] = []
  for (const name of names.sort()) {
    const text = await readFile(path.join(logFolder, name), 'utf8')
    const found = text.split('\n').filter((line) => line !== '' && !/"level":"(info|debug)"|VDDK stand-in: /.test(line))
    lines.push(...found.map((line) => `  ${path.basename(name, '.log')}: ${line.slice(0, 500)}`))
  }
  return lines.length === 0 ? 'the functions’ logs hold no complaint' : lines.slice(-SHOWN_LINES).join('\n')
}
