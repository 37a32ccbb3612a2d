const silent = { info() {}, warn() {}, error() {}, debug() {}, close() {} }

/** What every client of the demo is made with. Its own log would go into the home folder. */
export function clientOptions(url: string): { endpoints: string; namespace: string; logger: typeof silent } {
  return { endpoints: new URL(url).host, namespace: '', logger: silent }
}
