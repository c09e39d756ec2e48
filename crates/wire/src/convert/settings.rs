//! Settings of the group, and changes of them.

use holdfast_core::spec::{Settings, SettingsChange};

use super::Convert;
use super::primitive::{from_ms, ms};
use crate::error::DecodeError;
use crate::pb::v1 as pb;
use crate::pb::v1::settings_change::Moves;

impl Convert for Settings {
    type Proto = pb::Settings;

    fn to_proto(&self) -> pb::Settings {
        pb::Settings {
            warm_up_ms: ms(self.warm_up),
            max_moves: self.max_moves,
            window_ms: ms(self.window),
            ttl_floor_ms: ms(self.ttl_floor),
        }
    }

    fn from_proto(proto: pb::Settings) -> Result<Self, DecodeError> {
        Ok(Self {
            warm_up: from_ms(proto.warm_up_ms),
            max_moves: proto.max_moves,
            window: from_ms(proto.window_ms),
            ttl_floor: from_ms(proto.ttl_floor_ms),
        })
    }
}

impl Convert for SettingsChange {
    type Proto = pb::SettingsChange;

    fn to_proto(&self) -> pb::SettingsChange {
        let moves =
            |max: Option<u32>| max.map_or(Moves::Unbounded(pb::Unbounded {}), Moves::MaxMoves);
        pb::SettingsChange {
            warm_up_ms: self.warm_up.map(ms),
            moves: self.max_moves.map(moves),
            window_ms: self.window.map(ms),
            ttl_floor_ms: self.ttl_floor.map(ms),
        }
    }

    fn from_proto(proto: pb::SettingsChange) -> Result<Self, DecodeError> {
        let moves = |moves| match moves {
            Moves::MaxMoves(max) => Some(max),
            Moves::Unbounded(pb::Unbounded {}) => None,
        };
        Ok(Self {
            warm_up: proto.warm_up_ms.map(from_ms),
            max_moves: proto.moves.map(moves),
            window: proto.window_ms.map(from_ms),
            ttl_floor: proto.ttl_floor_ms.map(from_ms),
        })
    }
}
