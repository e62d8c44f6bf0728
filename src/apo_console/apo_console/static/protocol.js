/** Messages between page and server; see protocol.py. Little-endian. */

const INPUT = 1, PONG = 2, SHOWN = 3, FRAME = 4, PING = 5;

/** A sample of the device: `axes` are six shares of full deflection, -1 .. 1. */
export function input(sequence, axes, held) {
  const view = new DataView(new ArrayBuffer(30));
  view.setUint8(0, INPUT);
  view.setUint32(1, sequence, true);
  axes.forEach((value, i) => view.setFloat32(5 + 4 * i, value, true));
  view.setUint8(29, held ? 1 : 0);
  return view.buffer;
}

export function pong(number) {
  const view = new DataView(new ArrayBuffer(5));
  view.setUint8(0, PONG);
  view.setUint32(1, number, true);
  return view.buffer;
}

export function shown(robot, camera, sequence) {
  const view = new DataView(new ArrayBuffer(7));
  view.setUint8(0, SHOWN);
  view.setUint8(1, robot);
  view.setUint8(2, camera);
  view.setUint32(3, sequence, true);
  return view.buffer;
}

/** {kind: "ping", number} or {kind: "frame", robot, camera, sequence, stamp, jpeg}; `stamp` in ms. */
export function read(buffer) {
  const view = new DataView(buffer);
  if (view.getUint8(0) === PING) return { kind: "ping", number: view.getUint32(1, true) };
  if (view.getUint8(0) !== FRAME) throw new Error(`message of kind ${view.getUint8(0)}`);
  return {
    kind: "frame",
    robot: view.getUint8(1),
    camera: view.getUint8(2),
    sequence: view.getUint32(3, true),
    stamp: Number(view.getBigInt64(7, true)) / 1e6,
    jpeg: new Uint8Array(buffer, 15),
  };
}
