//! File metadata that a copy keeps: owner, group, permissions, ACL, times, extended attributes.
//!
//! All functions take a descriptor, never a path. If the file system or the permissions refuse a
//! change, the function returns `false`; a full disk is an error.

use std::ffi::{CStr, CString};

use rustix::fs::{self, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::fs::{DataFile, Operation, Result};

/// The extended attribute that holds the access ACL (`acl(5)`, `linux/posix_acl_xattr.h`).
const ACL_ATTR: &str = "system.posix_acl_access";

/// Its first four bytes: the version.
const ACL_VERSION: [u8; 4] = 2_u32.to_le_bytes();

/// Maximum size of a list of attribute names and of a value, in bytes (`xattr(7)`).
const LIST_MAX: usize = 64 << 10;
const VALUE_MAX: usize = 64 << 10;

/// The tag of an ACL entry, as the kernel numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum AclTag {
    /// The owner.
    Owner = 1,
    /// The named user.
    User = 2,
    /// The owning group.
    OwningGroup = 4,
    /// The named group.
    Group = 8,
    /// The upper limit for all but the owner and others.
    Mask = 16,
    /// All other users.
    Other = 32,
}

/// An ACL entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AclEntry {
    /// To which users it applies.
    pub tag: AclTag,
    /// The permission bits: read 4, write 2, execute 1.
    pub perm: u16,
    /// The id of the named user or group.
    pub id: u32,
}

/// The permissions of a file as an ACL. Without named users and groups it equals the mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acl(pub Vec<AclEntry>);

/// Owner, group, permissions and times of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The permissions, without the set-user-ID, set-group-ID and sticky bits.
    pub acl: Acl,
    accessed: (i64, i64),
    modified: (i64, i64),
}

impl Acl {
    /// Returns the ACL that equals these mode bits.
    #[must_use]
    pub fn of_mode(mode: u32) -> Self {
        let tags = [(AclTag::Owner, 6_u32), (AclTag::OwningGroup, 3), (AclTag::Other, 0)];
        let entry = |(tag, shift)| AclEntry { tag, perm: (mode >> shift & 7) as u16, id: u32::MAX };
        Acl(tags.map(entry).into())
    }

    /// Returns the mode bits if the ACL has no other entries.
    #[must_use]
    pub fn mode(&self) -> Option<u32> {
        let mode = |entry: &AclEntry| match entry.tag {
            AclTag::Owner => Some(u32::from(entry.perm) << 6),
            AclTag::OwningGroup => Some(u32::from(entry.perm) << 3),
            AclTag::Other => Some(u32::from(entry.perm)),
            AclTag::User | AclTag::Group | AclTag::Mask => None,
        };
        self.0.iter().map(mode).sum()
    }

    fn owner_mode(&self) -> u32 {
        let owner = self.0.iter().find(|entry| entry.tag == AclTag::Owner);
        owner.map_or(0, |owner| u32::from(owner.perm) << 6)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let entry = |bytes: &[u8]| {
            let tag = u16::from_le_bytes([bytes[0], bytes[1]]);
            let tags = [AclTag::Owner, AclTag::User, AclTag::OwningGroup];
            let tags = tags.into_iter().chain([AclTag::Group, AclTag::Mask, AclTag::Other]);
            let id = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
            let perm = u16::from_le_bytes([bytes[2], bytes[3]]);
            let tag = tags.into_iter().find(|known| *known as u16 == tag)?;
            Some(AclEntry { tag, perm, id })
        };
        let entries = bytes.strip_prefix(&ACL_VERSION)?.chunks_exact(8);
        entries.map(entry).collect::<Option<_>>().map(Acl)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = ACL_VERSION.to_vec();
        for entry in &self.0 {
            bytes.extend((entry.tag as u16).to_le_bytes());
            bytes.extend(entry.perm.to_le_bytes());
            bytes.extend(entry.id.to_le_bytes());
        }
        bytes
    }
}

impl Attributes {
    /// Returns whether a copy has the mtime of its source. Allows for file systems that round times
    /// down to two seconds.
    #[must_use]
    pub fn is_time_of(&self, source: &Attributes) -> bool {
        let nanoseconds = |(seconds, rest)| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        let [own, source] = [self.modified, source.modified].map(nanoseconds);
        (0..2_000_000_000).contains(&(source - own))
    }
}

impl DataFile {
    /// Returns owner, group, permissions and times.
    pub fn attributes(&self) -> Result<Attributes> {
        let stat = fs::fstat(self).map_err(|errno| self.error(Operation::StatFile, errno))?;
        let mut value = vec![0; VALUE_MAX];
        let acl = match fs::fgetxattr(self, ACL_ATTR, &mut value[..]) {
            // An ACL that can't be parsed grants access to the owner only.
            Ok(len) => Acl::parse(&value[..len]).unwrap_or(Acl::of_mode(stat.st_mode & 0o700)),
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Acl::of_mode(stat.st_mode & 0o777),
            Err(errno) => return Err(self.error(Operation::ReadAcl, errno)),
        };
        let time = |seconds: i64, rest: u64| (seconds, rest.try_into().unwrap_or(0));
        Ok(Attributes {
            uid: stat.st_uid,
            gid: stat.st_gid,
            acl,
            accessed: time(stat.st_atime, stat.st_atime_nsec),
            modified: time(stat.st_mtime, stat.st_mtime_nsec),
        })
    }

    /// Changes the owner. Returns `false` if npyd may not.
    pub fn set_owner(&self, uid: u32) -> Result<bool> {
        self.chown(Some(Uid::from_raw(uid)), None)
    }

    /// Changes the group. Returns `false` if npyd may not.
    pub fn set_group(&self, gid: u32) -> Result<bool> {
        self.chown(None, Some(Gid::from_raw(gid)))
    }

    fn chown(&self, uid: Option<Uid>, gid: Option<Gid>) -> Result<bool> {
        self.is_done(Operation::ChangeOwner, fs::fchown(self, uid, gid))
    }

    /// Sets the permissions, and removes an ACL that the file inherited from its directory. Returns
    /// `false`, and changes nothing, if npyd may not, or if the file system has no ACLs.
    pub fn set_acl(&self, acl: &Acl) -> Result<bool> {
        const OPERATION: Operation = Operation::SetPermissions;
        let Some(mode) = acl.mode() else {
            let set = fs::fsetxattr(self, ACL_ATTR, &acl.to_bytes(), XattrFlags::empty());
            return self.is_done(OPERATION, set);
        };
        match fs::fremovexattr(self, ACL_ATTR) {
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {
                self.is_done(OPERATION, fs::fchmod(self, Mode::from_raw_mode(mode)))
            }
            refused => self.is_done(OPERATION, refused),
        }
    }

    /// Sets these permissions, or only the owner's if the file system has no ACLs.
    ///
    /// # Errors
    ///
    /// Fails if another user could then read or write the file who may not according to `acl`.
    pub fn narrow_to(&self, acl: &Acl) -> Result<()> {
        let most = acl.mode();
        let of_owner = Acl::of_mode(acl.owner_mode());
        if self.set_acl(acl)? || most.is_none() && self.set_acl(&of_owner)? {
            return Ok(());
        }
        // A file system without permissions reports fixed ones for all files.
        let most = most.unwrap_or(acl.owner_mode());
        match self.attributes()?.acl.mode() {
            Some(mode) if mode & !most & 0o066 == 0 => Ok(()),
            _ => Err(self.error(Operation::SetPermissions, Errno::PERM)),
        }
    }

    /// Sets atime and mtime. Returns `false` if npyd may not.
    pub fn set_times(&self, of: &Attributes) -> Result<bool> {
        let time = |(tv_sec, tv_nsec)| Timespec { tv_sec, tv_nsec };
        let times =
            Timestamps { last_access: time(of.accessed), last_modification: time(of.modified) };
        self.is_done(Operation::SetTimes, fs::futimens(self, &times))
    }

    /// Returns the names of the extended attributes in the `user.` namespace, or `None` if the list
    /// is too long for the kernel to return.
    pub fn user_attributes(&self) -> Result<Option<Vec<CString>>> {
        let mut list = vec![0; LIST_MAX];
        let len = match fs::flistxattr(self, &mut list[..]) {
            Ok(len) => len,
            Err(Errno::OPNOTSUPP) => 0,
            Err(Errno::TOOBIG | Errno::RANGE) => return Ok(None),
            Err(errno) => return Err(self.error(Operation::ListAttributes, errno)),
        };
        let names = list[..len].split(|byte| *byte == 0).filter(|name| name.starts_with(b"user."));
        Ok(Some(names.filter_map(|name| CString::new(name).ok()).collect()))
    }

    /// Copies an extended attribute of any size to another file. Returns `false` if that file can't
    /// store it.
    pub fn copy_attribute(&self, name: &CStr, to: &DataFile) -> Result<bool> {
        let mut value = vec![0; VALUE_MAX];
        match fs::fgetxattr(self, name, &mut value[..]) {
            Ok(len) => {
                let set = fs::fsetxattr(to, name, &value[..len], XattrFlags::empty());
                to.is_done(Operation::SetAttribute, set)
            }
            Err(Errno::NODATA) => Ok(true), // removed in the meantime
            Err(Errno::RANGE | Errno::TOOBIG | Errno::ACCESS) => Ok(false),
            Err(errno) => Err(self.error(Operation::ReadAttribute, errno)),
        }
    }

    /// Returns whether a change was made: `false` if the file system or the permissions refuse it.
    fn is_done(&self, operation: Operation, result: rustix::io::Result<()>) -> Result<bool> {
        match result {
            Ok(()) => Ok(true),
            Err(Errno::PERM | Errno::ACCESS | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => {
                Ok(false)
            }
            Err(Errno::TOOBIG | Errno::RANGE) => Ok(false),
            // ext4 also returns ENOSPC for an attribute that does not fit in its block.
            Err(Errno::NOSPC) if fs::fstatvfs(self).is_ok_and(|fs| fs.f_bavail > 0) => Ok(false),
            Err(errno) => Err(self.error(operation, errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acl_is_parsed_as_the_kernel_writes_it() {
        let bytes = [
            &[2, 0, 0, 0][..],
            &[1, 0, 6, 0, 255, 255, 255, 255],
            &[2, 0, 4, 0, 0xe8, 3, 0, 0],
            &[4, 0, 4, 0, 255, 255, 255, 255],
            &[16, 0, 4, 0, 255, 255, 255, 255],
            &[32, 0, 0, 0, 255, 255, 255, 255],
        ]
        .concat();
        let acl = Acl::parse(&bytes).unwrap();
        assert_eq!(acl.0[1], AclEntry { tag: AclTag::User, perm: 4, id: 1000 });
        assert_eq!(acl.mode(), None);
        assert_eq!(acl.to_bytes(), bytes);
        for mode in [0, 0o640, 0o777, 0o604] {
            assert_eq!(Acl::of_mode(mode).mode(), Some(mode));
        }
        assert_eq!(Acl::parse(&[2, 0, 0, 0, 3, 0, 6, 0, 0, 0, 0, 0]), None);
        assert_eq!(Acl::parse(&[1, 0, 0, 0]), None);
    }
}
